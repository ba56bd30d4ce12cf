/* Handshakes: connect, ask for the upgrade, read the whole 101; so many at once. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#define EVENTS 256
#define ADDRESSES 16 /* 127.0.0.1 and on: each has its own ports to connect from */
#define HEAD 4096
#define KEPT_TIMES 200000

struct round {
    const struct shaking *plan;
    struct outcome *outcome;
    int poll, opened, answered;
    double *begun;
    struct times times;
};

static struct sockaddr_in loopback(int last, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    address.sin_addr.s_addr = htonl(0x7f000000U + (uint32_t)last);
    return address;
}

/* A connection on loopback is there at once: a full backlog is the only wait. */
static int open_one(struct round *round)
{
    const struct shaking *plan = round->plan;
    int index = round->opened, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in here = loopback(1 + index % ADDRESSES, 0), there = loopback(1, plan->port);

    if (fd < 0)
        return fail(round->outcome, "a socket: %s", strerror(errno));
    plan->fds[index] = fd;
    round->opened++;
    round->begun[index] = now();
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&here, sizeof here)
        || connect(fd, (struct sockaddr *)&there, sizeof there))
        return fail(round->outcome, "connecting: %s", strerror(errno));
    if (watch(round->poll, fd, (uint64_t)index))
        return fail(round->outcome, "watching: %s", strerror(errno));
    return send_all(round->outcome, fd, plan->request, (size_t)plan->request_size);
}

/* The head is looked at and left there until it is whole. */
static int read_answer(struct round *round, int index)
{
    char head[HEAD];
    int fd = round->plan->fds[index];
    ssize_t size = recv(fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
    const char *end = size > 0 ? memmem(head, (size_t)size, "\r\n\r\n", 4) : NULL;

    if (size < 0 && errno == EAGAIN)
        return 0;
    if (size <= 0 || (!end && size == HEAD))
        return fail(round->outcome, "a connection ended before its handshake was answered");
    if (!end)
        return 0;
    if (memcmp(head, "HTTP/1.1 101", 12) != 0 || end + 4 - head != size)
        return fail(round->outcome, "not a plain 101: %.*s", size < 200 ? (int)size : 200, head);
    if (recv(fd, head, (size_t)size, 0) != size || epoll_ctl(round->poll, EPOLL_CTL_DEL, fd, NULL))
        return fail(round->outcome, "reading an answer: %s", strerror(errno));
    times_add(&round->times, now() - round->begun[index]);
    round->answered++;
    return 1;
}

static int run(struct round *round)
{
    const struct shaking *plan = round->plan;
    struct epoll_event events[EVENTS];
    double begin = now();

    while (round->answered < plan->count) {
        int count;

        while (round->opened < plan->count && round->opened - round->answered < plan->under_way)
            if (open_one(round))
                return -1;
        count = epoll_wait(round->poll, events, EVENTS, STALLED);
        if (count == 0 || (count < 0 && errno != EINTR))
            return fail(round->outcome, "no handshake in %d ms", STALLED);
        for (int event = 0; event < count; event++)
            if (read_answer(round, (int)events[event].data.u64) < 0)
                return -1;
    }
    round->outcome->elapsed = now() - begin;
    return 0;
}

/* The sockets stay open, whatever happens: `fds` beyond those opened are -1. */
int load_shake(const struct shaking *plan, struct outcome *outcome)
{
    struct round round = {.plan = plan, .outcome = outcome};
    int failed;

    memset(outcome, 0, sizeof *outcome);
    for (int index = 0; index < plan->count; index++)
        plan->fds[index] = -1;
    round.poll = epoll_create1(EPOLL_CLOEXEC);
    round.begun = calloc((size_t)plan->count, sizeof *round.begun);
    times_make(&round.times, KEPT_TIMES);
    failed = round.begun ? run(&round) : fail(outcome, "no memory for the round");
    outcome->count = round.answered;
    outcome->each = times_spread(&round.times);
    free(round.begun);
    close(round.poll);
    return failed ? -1 : 0;
}
