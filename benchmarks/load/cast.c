/* Casts, and each of their deliveries counted: none lost, doubled, altered or out of order. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS 1024
#define KEPT_TIMES 4000000
#define LINE (1ULL << 32)
#define PROBE (2ULL << 32)
#define TIMER (3ULL << 32)

struct line {
    double due;
    int remaining;     /* deliveries that its cast still lacks */
    int is_answered;
    uint32_t casts;
    struct part part;
};

struct round {
    const struct casting *plan;
    struct outcome *outcome;
    int poll, timer;
    char *buffer;      /* room for a part, and a read after it */
    char *request;
    struct line *lines;
    struct part *parts;
    uint32_t *next;    /* listener x line: the number that has to come */
    struct times each, last, echo;
    double begin, end, heard;
    int64_t started, done, delivered, probes, echoes;
    struct part echo_part;
};

static uint32_t digits(const char *at, int count)
{
    uint32_t value = 0;

    while (count--)
        value = value * 10 + (uint32_t)(unsigned char)(*at++ - '0');
    return value;
}

static int start_cast(struct round *round, int index, double due)
{
    const struct casting *plan = round->plan;
    struct line *line = &round->lines[index];
    char *data = round->request + plan->request_data, numbers[24];

    snprintf(numbers, sizeof numbers, "%03d%08u", index, line->casts);
    memcpy(data + CONNECTION_AT, numbers, 3);
    memcpy(data + NUMBER_AT, numbers + 3, 8);
    line->casts++;
    line->due = due;
    line->remaining = plan->receivers;
    line->is_answered = 0;
    round->started++;
    return send_all(round->outcome, plan->lines[index], round->request, (size_t)plan->request_size);
}

static int is_free(const struct line *line)
{
    return line->is_answered && line->remaining == 0;
}

/* Whatever is due and finds a free line; the rest stays due. */
static int start_due(struct round *round, double at)
{
    const struct casting *plan = round->plan;
    int total = (int)(plan->rate * plan->seconds);

    for (int index = 0; index < plan->line_count; index++) {
        double due = plan->rate > 0 ? round->begin + (double)round->started / plan->rate : at;

        if (due > at || (plan->rate > 0 ? round->started >= total : at >= round->end))
            return 0;
        if (is_free(&round->lines[index]) && start_cast(round, index, due))
            return -1;
    }
    return 0;
}

static int probe_due(struct round *round, double at)
{
    const struct casting *plan = round->plan;

    while (plan->probe_rate > 0 && (double)round->probes < plan->probe_rate * plan->seconds) {
        if (round->begin + (double)round->probes / plan->probe_rate > at)
            return 0;
        round->probes++;
        if (send_all(round->outcome, plan->probe_fd, plan->probe, (size_t)plan->probe_size))
            return -1;
    }
    return 0;
}

static void set_timer(struct round *round)
{
    const struct casting *plan = round->plan;
    double next = 0, probe;
    struct itimerspec when = {0};

    if (plan->rate > 0 && round->started < (int)(plan->rate * plan->seconds))
        next = round->begin + (double)round->started / plan->rate;
    if (plan->probe_rate > 0 && (double)round->probes < plan->probe_rate * plan->seconds) {
        probe = round->begin + (double)round->probes / plan->probe_rate;
        next = next > 0 && next < probe ? next : probe;
    }
    if (next > 0 && next < now())
        next = 0; /* due, and waiting for a line */
    when.it_value.tv_sec = (time_t)next;
    when.it_value.tv_nsec = (long)((next - (double)(time_t)next) * 1e9);
    timerfd_settime(round->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void finish_if_done(struct round *round, struct line *line, double at)
{
    if (!is_free(line))
        return;
    round->done++;
    times_add(&round->last, at - line->due);
}

static int take_delivery(struct round *round, int listener, const char *frame, double at)
{
    const struct casting *plan = round->plan;
    const char *data = frame + plan->frame_data;
    int head = plan->frame_data + CONNECTION_AT, tail = plan->frame_data + NUMBER_AT + 8;
    uint32_t connection = digits(data + CONNECTION_AT, 3), number = digits(data + NUMBER_AT, 8);
    uint32_t *next;
    struct line *line;

    if (memcmp(frame, plan->frame, (size_t)head) != 0 || connection >= (uint32_t)plan->line_count
        || memcmp(frame + tail, plan->frame + tail, (size_t)(plan->frame_size - tail)) != 0)
        return fail(round->outcome, "not a frame that was cast: %.*s", 60, data);
    if (listener >= plan->receivers)
        return fail(round->outcome, "a cast reached a socket that is not in its target");
    next = &round->next[(size_t)listener * (size_t)plan->line_count + connection];
    line = &round->lines[connection];
    if (number != *next || number >= line->casts)
        return fail(round->outcome, "expected cast %u of connection %u, got %u", *next, connection, number);
    ++*next;
    line->remaining--;
    round->delivered++;
    if (plan->rate > 0)
        times_add(&round->each, at - line->due);
    finish_if_done(round, line, at);
    return 0;
}

/* Whole frames off the front; returns how many bytes they took. */
static long take_frames(struct round *round, int listener, const char *bytes, size_t size, double at)
{
    const struct casting *plan = round->plan;
    size_t taken = 0;

    while (taken < size) {
        long used = 0;

        if (bytes[taken] == (char)0x81) {
            if (size - taken < (size_t)plan->frame_size)
                break;
            if (take_delivery(round, listener, bytes + taken, at))
                return -1;
            used = plan->frame_size;
        } else {
            used = control_frame(round->outcome, plan->listeners[listener],
                                 (const unsigned char *)bytes + taken, size - taken);
        }
        if (used <= 0)
            return used < 0 ? -1 : (long)taken;
        taken += (size_t)used;
    }
    return (long)taken;
}

static int read_listener(struct round *round, int index)
{
    struct part *part = &round->parts[index];
    long size = receive_after(round->outcome, round->plan->listeners[index], part, round->buffer), taken;

    if (size <= 0)
        return (int)size;
    taken = take_frames(round, index, round->buffer, (size_t)size, now());
    if (taken < 0)
        return -1;
    if (taken == size && !part->size)
        return 0;
    return keep_part(round->outcome, part, round->buffer + taken, (size_t)(size - taken));
}

static int read_line(struct round *round, int index)
{
    struct line *line = &round->lines[index];
    long size = receive_after(round->outcome, round->plan->lines[index], &line->part, round->buffer), used;

    if (size <= 0)
        return (int)size;
    used = http_answer(round->outcome, round->buffer, (size_t)size, round->plan->receipt);
    if (used < 0)
        return -1;
    if (used && (used != size || line->is_answered))
        return fail(round->outcome, "more than one answer to one cast");
    if (used) {
        line->is_answered = 1;
        finish_if_done(round, line, now());
    }
    return keep_part(round->outcome, &line->part, round->buffer, used ? 0 : (size_t)size);
}

static int read_probe(struct round *round)
{
    const struct casting *plan = round->plan;
    struct part *part = &round->echo_part;
    long size = receive_after(round->outcome, plan->probe_fd, part, round->buffer);
    long at = 0, used, whole = plan->probe_echo_size;

    while (at < size) {
        if (round->buffer[at] == (char)0x81) {
            if (size - at < whole)
                break;
            if (memcmp(round->buffer + at, plan->probe_echo, (size_t)whole) != 0)
                return fail(round->outcome, "not the echo of the probe");
            times_add(&round->echo, now() - round->begin - (double)round->echoes++ / plan->probe_rate);
            used = whole;
        } else {
            used = control_frame(round->outcome, plan->probe_fd,
                                 (unsigned char *)round->buffer + at, (size_t)(size - at));
        }
        if (used < 0)
            return -1;
        if (!used)
            break;
        at += used;
    }
    return size < 0 ? -1 : size ? keep_part(round->outcome, part, round->buffer + at, (size_t)(size - at)) : 0;
}

static int read_event(struct round *round, uint64_t mark)
{
    uint64_t expirations;

    if (mark == PROBE)
        return read_probe(round);
    if (mark == TIMER)
        return read(round->timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN;
    return mark & LINE ? read_line(round, (int)(mark & 0xffff)) : read_listener(round, (int)mark);
}

static int is_owed(const struct round *round)
{
    return round->done < round->started || round->echoes < round->probes;
}

static int read_events(struct round *round, int wait)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(round->poll, events, EVENTS, wait);

    if (count < 0 && errno != EINTR)
        return fail(round->outcome, "polling: %s", strerror(errno));
    if (count > 0)
        round->heard = now();
    if (count == 0 && is_owed(round) && now() > round->heard + STALLED / 1000.0 - 0.1)
        return fail(round->outcome, "nothing more came in %d ms: %lld casts, %lld deliveries, %lld whole",
                    STALLED, (long long)round->started, (long long)round->delivered, (long long)round->done);
    for (int index = 0; index < count; index++)
        if (read_event(round, events[index].data.u64))
            return -1;
    return count;
}

static int is_over(struct round *round, double at)
{
    const struct casting *plan = round->plan;

    if (at < round->end || is_owed(round))
        return 0;
    return plan->rate <= 0 || round->started >= (int)(plan->rate * plan->seconds);
}

static int run(struct round *round)
{
    double at;

    round->begin = now();
    round->end = round->begin + round->plan->seconds;
    round->heard = round->begin;
    while (!is_over(round, at = now())) {
        int is_idle = round->plan->line_count == 0 || round->plan->rate > 0 || round->probes > 0;

        if (start_due(round, at) || probe_due(round, at))
            return -1;
        if (is_idle)
            set_timer(round);
        /* Idle rounds end by the clock; a stall is told only where something is owed. */
        if (read_events(round, round->done < round->started ? STALLED : 20) < 0)
            return -1;
    }
    round->outcome->elapsed = now() - round->begin;
    return read_events(round, 0) < 0 ? -1 : 0; /* nothing may follow */
}

static int watch_all(struct round *round)
{
    const struct casting *plan = round->plan;

    for (int index = 0; index < plan->listener_count; index++)
        if (watch(round->poll, plan->listeners[index], (uint64_t)index))
            return fail(round->outcome, "watching: %s", strerror(errno));
    for (int index = 0; index < plan->line_count; index++) {
        round->lines[index].is_answered = 1;
        if (watch(round->poll, plan->lines[index], LINE | (uint64_t)index))
            return fail(round->outcome, "watching: %s", strerror(errno));
    }
    if (plan->probe_rate > 0 && watch(round->poll, plan->probe_fd, PROBE))
        return fail(round->outcome, "watching: %s", strerror(errno));
    return watch(round->poll, round->timer, TIMER);
}

static void let_go(struct round *round)
{
    for (int index = 0; round->parts && index < round->plan->listener_count; index++)
        free(round->parts[index].bytes);
    for (int index = 0; round->lines && index < round->plan->line_count; index++)
        free(round->lines[index].part.bytes);
    free(round->echo_part.bytes);
    free(round->buffer);
    free(round->request);
    free(round->lines);
    free(round->parts);
    free(round->next);
    close(round->poll);
    close(round->timer);
}

int load_cast(const struct casting *plan, struct outcome *outcome)
{
    size_t listeners = (size_t)plan->listener_count, lines = (size_t)plan->line_count;
    struct round round = {.plan = plan, .outcome = outcome};
    int failed;

    memset(outcome, 0, sizeof *outcome);
    round.poll = epoll_create1(EPOLL_CLOEXEC);
    round.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    round.buffer = malloc(2 * READ_SIZE);
    round.request = malloc((size_t)plan->request_size + 1);
    round.lines = calloc(lines + 1, sizeof *round.lines);
    round.parts = calloc(listeners + 1, sizeof *round.parts);
    round.next = calloc(listeners * lines + 1, sizeof *round.next);
    times_make(&round.each, plan->rate > 0 ? KEPT_TIMES : 0);
    times_make(&round.last, KEPT_TIMES / 4);
    times_make(&round.echo, KEPT_TIMES / 4);
    if (!round.buffer || !round.request || !round.lines || !round.parts || !round.next)
        failed = fail(outcome, "no memory for the round");
    else {
        memcpy(round.request, plan->request, (size_t)plan->request_size);
        failed = watch_all(&round) || run(&round);
    }
    outcome->count = round.delivered;
    outcome->each = times_spread(&round.each);
    outcome->last = times_spread(&round.last);
    outcome->echo = times_spread(&round.echo);
    let_go(&round);
    return failed ? -1 : 0;
}
