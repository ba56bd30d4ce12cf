/* The least that a program does on this kernel: one thread, one epoll, nothing behind.
 *
 *     floor <port>
 *
 * POST /message casts its data to every socket, one send() each, and says to how many;
 * a GET with a key becomes a WebSocket, whose messages come back. No more of HTTP is
 * read than where a request ends. What is malformed, or not read, is cut off. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
#define BACKLOG 1024
#define READ 65536
#define KEPT 70000 /* of a request or a frame whose rest is still to come: one of 16 bits fits */
#define LISTENERS 65536
#define KEY 64 /* characters, at most */
#define ACCEPT 28
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" \
               "Connection: Upgrade\r\nSec-WebSocket-Accept: "

struct connection {
    int fd;
    int place; /* among the listeners; -1: it speaks HTTP */
    unsigned char *part;
    size_t part_size;
};

void accept_key(const char *key, size_t size, char accept[ACCEPT]);

static struct connection *listeners[LISTENERS];
static int listener_count;
static unsigned char in[KEPT + READ], out[2 * KEPT];
static size_t out_size;

/* The answers of one read go out in one write; -1: the client does not take them. */
static int flush(const struct connection *it)
{
    size_t size = out_size;

    out_size = 0;
    return !size || send(it->fd, out, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size ? 0 : -1;
}

static int put(const struct connection *it, const void *bytes, size_t size)
{
    if (out_size + size > sizeof out && flush(it))
        return -1;
    memcpy(out + out_size, bytes, size);
    out_size += size;
    return 0;
}

static size_t frame_head(unsigned char *head, unsigned char opcode, size_t length)
{
    head[0] = opcode;
    if (length < 126) {
        head[1] = (unsigned char)length;
        return 2;
    }
    head[1] = 126;
    head[2] = (unsigned char)(length >> 8);
    head[3] = (unsigned char)length;
    return 4;
}

/* Where a header's value begins, within the head that ends at `end`; NULL: it has none. */
static const char *header(const char *head, const char *end, const char *name)
{
    size_t length = strlen(name);

    while ((head = memmem(head, (size_t)(end - head), "\r\n", 2))) {
        head += 2;
        if ((size_t)(end - head) > length && strncasecmp(head, name, length) == 0) {
            head += length;
            return head + strspn(head, " "); /* the end of the line ends it */
        }
    }
    return NULL;
}

static int upgrade(struct connection *it, const char *head, const char *end)
{
    const char *key = header(head, end, "sec-websocket-key:");
    size_t size = key ? strcspn(key, " \r") : 0;
    char accept[ACCEPT];

    if (!size || size > KEY || listener_count == LISTENERS)
        return -1;
    accept_key(key, size, accept);
    it->place = listener_count;
    listeners[listener_count++] = it;
    return put(it, SWITCH, sizeof SWITCH - 1) || put(it, accept, ACCEPT) || put(it, "\r\n\r\n", 4);
}

static int answer(const struct connection *it)
{
    static int told = -1;
    static char text[256];
    static size_t size;

    if (told != listener_count) {
        char body[96];
        int length = snprintf(body, sizeof body, "{\"status\":\"ok\",\"sent\":%d,\"matched\":%d}",
                              listener_count, listener_count);

        size = (size_t)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: application/json"
                                "\r\nContent-Length: %d\r\n\r\n%s", length, body);
        told = listener_count;
    }
    return put(it, text, size);
}

/* To all: of other targets it knows nothing. */
static int cast(const struct connection *it, const char *body, size_t size)
{
    static unsigned char frame[KEPT];
    const char *data = memmem(body, size, "\"data\":", 7);
    size_t length, head;

    if (!data || body[size - 1] != '}' || !memmem(body, size, "\"target\":\"all\"", 14))
        return -1;
    data += 7;
    length = (size_t)(body + size - 1 - data);
    if (length > UINT16_MAX)
        return -1;
    head = frame_head(frame, 0x81, length);
    memcpy(frame + head, data, length);
    for (int place = 0; place < listener_count; place++)
        if (send(listeners[place]->fd, frame, head + length, MSG_DONTWAIT | MSG_NOSIGNAL)
            != (ssize_t)(head + length))
            shutdown(listeners[place]->fd, SHUT_RDWR); /* its next event lets it go */
    return answer(it);
}

/* The size of the whole request that begins here; 0: not whole yet, -1: none of ours. */
static long take_request(struct connection *it, const char *bytes, size_t size)
{
    const char *end = memmem(bytes, size, "\r\n\r\n", 4), *length;
    size_t head = end ? (size_t)(end + 4 - bytes) : 0, body;
    int failed = -1;

    if (!end)
        return 0;
    length = header(bytes, end, "content-length:");
    body = length ? strtoul(length, NULL, 10) : 0;
    if (body > KEPT || (length && !isdigit((unsigned char)*length)))
        return -1;
    if (size < head + body)
        return 0;
    if (head > 14 && memcmp(bytes, "POST /message ", 14) == 0 && body)
        failed = cast(it, bytes + head, body);
    else if (memcmp(bytes, "GET ", 4) == 0)
        failed = upgrade(it, bytes, end);
    return failed ? -1 : (long)(head + body);
}

/* The same for a masked frame, whose payload is unmasked where it is. */
static long take_frame(struct connection *it, unsigned char *bytes, size_t size)
{
    unsigned char answering = bytes[0] == 0x89 ? 0x8a : 0x81, head[4], *mask, *payload;
    size_t length, at = 2;

    if (size < 2)
        return 0;
    length = bytes[1] & 0x7f;
    if (!(bytes[1] & 0x80) || length == 127 || !memchr("\x81\x89\x8a", bytes[0], 3))
        return -1; /* a close frame, too: the connection's end is its answer */
    if (length == 126) {
        if (size < 4)
            return 0;
        length = (size_t)bytes[2] << 8 | bytes[3];
        at = 4;
    }
    if (size < at + 4 + length)
        return 0;
    mask = bytes + at;
    payload = mask + 4;
    for (size_t byte = 0; byte < length; byte++)
        payload[byte] ^= mask[byte & 3];
    if (bytes[0] != 0x8a
        && (put(it, head, frame_head(head, answering, length)) || put(it, payload, length)))
        return -1;
    return (long)(at + 4 + length);
}

static int keep(struct connection *it, const unsigned char *bytes, size_t size)
{
    free(it->part);
    it->part = NULL;
    it->part_size = size;
    if (!size)
        return 0;
    if (size > KEPT || !(it->part = malloc(size)))
        return -1;
    memcpy(it->part, bytes, size);
    return 0;
}

/* One read, and all that is whole of it answered; -1: this connection is done. */
static int serve(struct connection *it)
{
    size_t size = it->part_size, used = 0;
    long taken = 1;
    ssize_t got;

    if (size)
        memcpy(in, it->part, size);
    got = recv(it->fd, in + size, READ, MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    size += (size_t)got;
    out_size = 0;
    while (used < size && taken > 0) {
        taken = it->place < 0 ? take_request(it, (const char *)in + used, size - used)
                              : take_frame(it, in + used, size - used);
        used += taken > 0 ? (size_t)taken : 0;
    }
    return taken < 0 || flush(it) || keep(it, in + used, size - used) ? -1 : 0;
}

static void let_go(struct connection *it)
{
    if (it->place >= 0) {
        listeners[it->place] = listeners[--listener_count];
        listeners[it->place]->place = it->place;
    }
    close(it->fd); /* which takes it out of the poll, too */
    free(it->part);
    free(it);
}

static void accept_all(int poll, int listening)
{
    int fd, on = 1;

    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *it = calloc(1, sizeof *it);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = it};

        if (!it || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) {
            free(it);
            close(fd);
            continue;
        }
        it->fd = fd;
        it->place = -1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
}

static int listen_on(int port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&here, sizeof here) || listen(fd, BACKLOG)) {
        perror("listening");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.ptr = NULL};
    int listening = listen_on(argc > 1 ? atoi(argv[1]) : 0), poll = epoll_create1(EPOLL_CLOEXEC);
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epoll_ctl(poll, EPOLL_CTL_ADD, listening, &event);
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS, -1);

        for (int at = 0; at < count; at++) {
            struct connection *it = events[at].data.ptr;

            if (!it)
                accept_all(poll, listening);
            else if (serve(it))
                let_go(it);
        }
    }
}
