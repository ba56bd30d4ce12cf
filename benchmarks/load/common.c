#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

void times_make(struct times *times, size_t room)
{
    memset(times, 0, sizeof *times);
    times->values = malloc(room * sizeof *times->values);
    times->room = times->values ? room : 0;
}

void times_add(struct times *times, double value)
{
    times->seen++;
    if (times->kept < times->room)
        times->values[times->kept++] = (float)value;
}

static int ascending(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;

    return (a > b) - (a < b);
}

struct spread times_spread(struct times *times)
{
    struct spread spread = {0};

    if (times->kept) {
        size_t last = times->kept - 1;

        qsort(times->values, times->kept, sizeof *times->values, ascending);
        spread.p50 = (double)times->values[last / 2];
        spread.p99 = (double)times->values[(size_t)((double)last * 0.99 + 0.5)];
        spread.most = (double)times->values[last];
    }
    spread.count = (int64_t)times->seen;
    free(times->values);
    memset(times, 0, sizeof *times);
    return spread;
}

int fail(struct outcome *outcome, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(outcome->problem, sizeof outcome->problem, format, arguments);
    va_end(arguments);
    return -1;
}

int watch(int poll, int fd, uint64_t mark)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = mark};

    return epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

int send_all(struct outcome *outcome, int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        struct pollfd room = {.fd = fd, .events = POLLOUT};

        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        } else if (errno != EAGAIN && errno != EINTR) {
            return fail(outcome, "sending: %s", strerror(errno));
        } else if (poll(&room, 1, STALLED) == 0) {
            return fail(outcome, "nothing could be sent for %d ms", STALLED);
        }
    }
    return 0;
}

/* The size of the whole answer that begins here; 0: not whole yet. */
long http_answer(struct outcome *outcome, const char *bytes, size_t size, const char *holds)
{
    const char *end = memmem(bytes, size, "\r\n\r\n", 4), *at = bytes;
    size_t whole = 0;

    if (!end)
        return size > 16384 ? fail(outcome, "an answer's head has no end") : 0;
    while (at < end && (at = memmem(at, (size_t)(end - at) + 2, "\r\n", 2))) {
        at += 2;
        if (end - at > 15 && strncasecmp(at, "content-length:", 15) == 0) {
            whole = (size_t)(end - bytes) + 4 + (size_t)strtoul(at + 15, NULL, 10);
            break;
        }
    }
    if (!whole)
        return fail(outcome, "an answer without content-length: %.80s", bytes);
    if (size < whole)
        return 0;
    if (memcmp(bytes, "HTTP/1.1 2", 10) != 0 || !memmem(bytes, whole, holds, strlen(holds)))
        return fail(outcome, "an answer without %s: %.*s", holds, whole < 300 ? (int)whole : 300, bytes);
    return (long)whole;
}

/* A ping is answered, a close told; the frame's size, 0: not whole yet. */
long control_frame(struct outcome *outcome, int fd, const unsigned char *bytes, size_t size)
{
    char pong[131] = "\x8a";
    size_t length;

    if (size < 2)
        return 0;
    length = bytes[1];
    if (length > 125 || (bytes[0] != 0x89 && bytes[0] != 0x88))
        return fail(outcome, "a frame that nobody cast: opcode %02x, length %zu", bytes[0], length);
    if (size < 2 + length)
        return 0;
    if (bytes[0] == 0x88)
        return fail(outcome, "the server closed a socket: %d %.*s",
                    length > 1 ? bytes[2] << 8 | bytes[3] : 0,
                    length > 2 ? (int)length - 2 : 0, bytes + 4);
    pong[1] = (char)(0x80 | length); /* the mask stays zero: allowed, and still masked */
    memcpy(pong + 6, bytes + 2, length);
    outcome->pings++;
    return send_all(outcome, fd, pong, 6 + length) ? -1 : (long)(2 + length);
}

int keep_part(struct outcome *outcome, struct part *part, const char *bytes, size_t size)
{
    if (size > READ_SIZE)
        return fail(outcome, "a frame of more than %d bytes", READ_SIZE);
    if (size && !part->bytes && !(part->bytes = malloc(READ_SIZE)))
        return fail(outcome, "no memory for the part of a frame");
    if (size)
        memcpy(part->bytes, bytes, size);
    part->size = size;
    if (!size) {
        free(part->bytes);
        part->bytes = NULL;
    }
    return 0;
}

/* What was kept and what there is to read, in the buffer; 0: nothing came. */
long receive_after(struct outcome *outcome, int fd, struct part *part, char *buffer)
{
    ssize_t got;

    if (part->size)
        memcpy(buffer, part->bytes, part->size);
    got = recv(fd, buffer + part->size, READ_SIZE, MSG_DONTWAIT);
    if (got > 0)
        return (long)((size_t)got + part->size);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return fail(outcome, "a connection was closed while it was counted");
}
