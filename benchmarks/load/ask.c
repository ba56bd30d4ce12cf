/* Requests and answers: `depth` under way on each connection, answered in order. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 256
#define KEPT_TIMES 4000000

struct line {
    double *sent; /* a ring of `depth` */
    int64_t asked, answered;
    struct part part;
};

struct round {
    const struct asking *plan;
    struct outcome *outcome;
    int poll;
    char *buffer, *requests; /* the request `depth` times: several go out in one write */
    struct line *lines;
    struct times times;
    int64_t asked, answered;
    double end;
};

static int ask(struct round *round, int index, int count)
{
    const struct asking *plan = round->plan;
    struct line *line = &round->lines[index];
    double at = now();

    if (at >= round->end || count == 0)
        return 0;
    for (int each = 0; each < count; each++)
        line->sent[line->asked++ % plan->depth] = at;
    round->asked += count;
    return send_all(round->outcome, plan->lines[index], round->requests,
                    (size_t)count * (size_t)plan->request_size);
}

static long frame_answer(struct round *round, int index, const char *bytes, size_t size)
{
    const struct asking *plan = round->plan;

    if (bytes[0] != (char)0x81)
        return control_frame(round->outcome, plan->lines[index], (const unsigned char *)bytes, size);
    if (size < (size_t)plan->answer_size)
        return 0;
    if (memcmp(bytes, plan->answer, (size_t)plan->answer_size) != 0)
        return fail(round->outcome, "not the answer that was asked for: %.*s",
                    plan->answer_size - 2, bytes + 2);
    return plan->answer_size;
}

static int count_answer(struct round *round, struct line *line, double at)
{
    if (line->answered == line->asked)
        return fail(round->outcome, "an answer that nobody asked for");
    times_add(&round->times, at - line->sent[line->answered++ % round->plan->depth]);
    round->answered++;
    return 0;
}

/* How many answers came; what is not whole is kept for the next read. */
static int read_line(struct round *round, int index)
{
    const struct asking *plan = round->plan;
    struct line *line = &round->lines[index];
    long size = receive_after(round->outcome, plan->lines[index], &line->part, round->buffer);
    long taken = 0, used = 1;
    int count = 0;
    double at = now();

    while (size > 0 && taken < size && used > 0) {
        const char *bytes = round->buffer + taken;
        size_t left = (size_t)(size - taken);
        int is_control = !plan->is_http && bytes[0] != (char)0x81;

        used = plan->is_http ? http_answer(round->outcome, bytes, left, plan->answer)
                             : frame_answer(round, index, bytes, left);
        if (used > 0 && !is_control) {
            if (count_answer(round, line, at))
                return -1;
            count++;
        }
        taken += used > 0 ? used : 0;
    }
    if (size <= 0 || used < 0)
        return size == 0 && used >= 0 ? 0 : -1;
    if (keep_part(round->outcome, &line->part, round->buffer + taken, (size_t)(size - taken)))
        return -1;
    return count;
}

static int run(struct round *round)
{
    const struct asking *plan = round->plan;
    struct epoll_event events[EVENTS];
    double begin = now();

    round->end = begin + plan->seconds;
    for (int index = 0; index < plan->line_count; index++)
        if (ask(round, index, plan->depth))
            return -1;
    while (round->answered < round->asked) {
        int count = epoll_wait(round->poll, events, EVENTS, STALLED);

        if (count == 0 || (count < 0 && errno != EINTR))
            return fail(round->outcome, "no answer in %d ms", STALLED);
        for (int event = 0; event < count; event++) {
            int index = (int)events[event].data.u64, answers = read_line(round, index);

            if (answers < 0 || ask(round, index, answers))
                return -1;
        }
    }
    round->outcome->elapsed = now() - begin;
    return 0;
}

static int prepare(struct round *round)
{
    const struct asking *plan = round->plan;

    for (int index = 0; index < plan->line_count; index++) {
        round->lines[index].sent = calloc((size_t)plan->depth, sizeof(double));
        if (!round->lines[index].sent || watch(round->poll, plan->lines[index], (uint64_t)index))
            return fail(round->outcome, "watching a connection: %s", strerror(errno));
    }
    for (int each = 0; each < plan->depth; each++)
        memcpy(round->requests + each * plan->request_size, plan->request, (size_t)plan->request_size);
    return 0;
}

int load_ask(const struct asking *plan, struct outcome *outcome)
{
    struct round round = {.plan = plan, .outcome = outcome};
    int failed;

    memset(outcome, 0, sizeof *outcome);
    round.poll = epoll_create1(EPOLL_CLOEXEC);
    round.buffer = malloc(2 * READ_SIZE);
    round.requests = malloc((size_t)plan->depth * (size_t)plan->request_size);
    round.lines = calloc((size_t)plan->line_count, sizeof *round.lines);
    times_make(&round.times, KEPT_TIMES);
    if (!round.buffer || !round.requests || !round.lines)
        failed = fail(outcome, "no memory for the round");
    else
        failed = prepare(&round) || run(&round);
    outcome->count = round.answered;
    outcome->each = times_spread(&round.times);
    for (int index = 0; round.lines && index < plan->line_count; index++) {
        free(round.lines[index].sent);
        free(round.lines[index].part.bytes);
    }
    free(round.buffer);
    free(round.requests);
    free(round.lines);
    close(round.poll);
    return failed ? -1 : 0;
}
