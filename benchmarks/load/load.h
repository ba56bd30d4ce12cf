/* The load generator's hot loops: sockets come opened from Python, and go back. */
#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>
#include <stdint.h>

#define READ_SIZE 262144
#define CONNECTION_AT 6 /* {"c":"123","n":"12345678", ... */
#define NUMBER_AT 16
#define STALLED 10000 /* milliseconds without a byte, after which a contender is stuck */

/* Latencies in seconds; those that no longer fit are counted, not kept. */
struct times {
    float *values;
    size_t kept, room, seen;
};

struct spread {
    double p50, p99, most;
    int64_t count;
};

struct outcome {
    double elapsed;
    int64_t count;          /* deliveries, answers or handshakes, each seen */
    int64_t pings;          /* answered meanwhile */
    struct spread each;     /* of a delivery, an answer */
    struct spread last;     /* of a cast: to the last of its receivers */
    struct spread echo;     /* of the probe beside the casts */
    char problem[400];      /* "" when every byte was as it must be */
};

struct part { /* of a frame or an answer whose rest is still to come */
    char *bytes;
    size_t size;
};

/* One round of casts, each counted at each receiver, in order. */
struct casting {
    const int *listeners;
    const int *lines;
    const char *request;    /* with the digits of data at `request_data` */
    const char *frame;      /* what a receiver must get, its data at `frame_data` */
    const char *receipt;    /* what each answer must hold */
    const char *probe;      /* a masked frame; the server sends `probe_echo` back */
    const char *probe_echo;
    int listener_count, line_count, receivers;
    int request_size, request_data, frame_size, frame_data;
    int probe_fd, probe_size, probe_echo_size;
    double seconds, rate, probe_rate; /* rate 0: as fast as they are done */
};

/* One round of requests and answers; `depth` under way on each connection. */
struct asking {
    const int *lines;
    const char *request;
    const char *answer;     /* a whole frame, or what an HTTP answer must hold */
    int line_count, request_size, answer_size, is_http, depth;
    double seconds;
};

/* So many handshakes, `under_way` at once; the sockets stay open in `fds`. */
struct shaking {
    const char *request;
    int *fds;
    int request_size, count, under_way, port;
};

double now(void);
void times_make(struct times *times, size_t room);
void times_add(struct times *times, double value);
struct spread times_spread(struct times *times);
int fail(struct outcome *outcome, const char *format, ...) __attribute__((format(printf, 2, 3)));
int watch(int poll, int fd, uint64_t mark);
int send_all(struct outcome *outcome, int fd, const char *bytes, size_t size);
long http_answer(struct outcome *outcome, const char *bytes, size_t size, const char *holds);
long control_frame(struct outcome *outcome, int fd, const unsigned char *bytes, size_t size);
int keep_part(struct outcome *outcome, struct part *part, const char *bytes, size_t size);
long receive_after(struct outcome *outcome, int fd, struct part *part, char *buffer);

#endif
