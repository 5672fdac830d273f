/* The load of the benchmark: one thread, keep-alive connections, the next request as soon as an answer is complete.
 *
 *   load json|stream PORT CONNECTIONS WARM_UP_S SECONDS REQUEST EXPECTED
 *
 * Every answer is checked: a completion's bytes, or the text of a stream's events and its end mark. What began in the warm-up has no part
 * in the times. Writes one line of JSON: answers per second, their time, and how long events took from the engine's write to our read.
 */
#include "common.h"

enum { BUFFER = 256 * 1024, SAMPLES = 4 * 1000 * 1000 };
enum state { HEAD, WHOLE, SIZE, CHUNK };

struct connection {
    int fd;
    enum state state;
    char in[BUFFER], body[BUFFER], text[BUFFER];
    size_t length, body_length, text_length, left, seen;
    bool done;
    uint64_t asked;
};

struct samples {
    uint32_t *ns;
    size_t count;
};

static bool streams;
static struct text request, expected;
static struct samples answers, events;
static uint64_t counted_from, counted_until;
static size_t asked, completed;

static void add(struct samples *samples, uint64_t ns) {
    if (samples->count == SAMPLES) die("too many samples");
    samples->ns[samples->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* The smallest sample that a share of all does not exceed, in microseconds. */
static double percentile_us(struct samples *samples, double share) {
    size_t at = (size_t)(share * (double)samples->count);
    return samples->count ? samples->ns[at < samples->count ? at : samples->count - 1] / 1000.0 : 0;
}

static void ask(struct connection *connection) {
    connection->state = HEAD;
    connection->length = connection->body_length = connection->text_length = connection->seen = 0;
    connection->done = false;
    connection->asked = now_ns();
    asked++;
    send_all(connection->fd, request.data, request.length);
}

static void take_event(struct connection *connection, const char *event, size_t length, uint64_t now) {
    const char *sent = find(event, length, STAMP), *text = find(event, length, "\"content\":\"");
    if (sent && connection->asked >= counted_from) add(&events, now - strtoull(sent + strlen(STAMP), NULL, 10));
    if (find(event, length, "data: [DONE]")) connection->done = true;
    if (!text) return;
    text += strlen("\"content\":\"");
    const char *end = memchr(text, '"', length - (size_t)(text - event)); /* the texts sent have no quotes */
    if (!end || connection->text_length + (size_t)(end - text) > BUFFER) die("an event is broken");
    memcpy(connection->text + connection->text_length, text, (size_t)(end - text));
    connection->text_length += (size_t)(end - text);
}

static void take_body(struct connection *connection, const char *data, size_t length, uint64_t now) {
    if (connection->body_length + length > BUFFER) die("an answer is too large");
    memcpy(connection->body + connection->body_length, data, length);
    connection->body_length += length;
    if (!streams) return;
    for (;;) {
        char *start = connection->body + connection->seen;
        char *end = find(start, connection->body_length - connection->seen, "\n\n");
        if (!end) return;
        take_event(connection, start, (size_t)(end - start), now);
        connection->seen += (size_t)(end + 2 - start);
    }
}

static void complete(struct connection *connection, uint64_t now) {
    const char *got = streams ? connection->text : connection->body;
    size_t length = streams ? connection->text_length : connection->body_length;
    errno = 0;
    if (length != expected.length || memcmp(got, expected.data, length) != 0) die("an answer is not what the engine sent");
    if (streams && !connection->done) die("a stream has no end mark");
    if (now >= counted_from && now <= counted_until) completed++;
    if (connection->asked >= counted_from) add(&answers, now - connection->asked);
    ask(connection);
}

/* Takes one step through what was read; returns how many bytes it used, 0 to wait for more. */
static size_t step(struct connection *connection, char *in, size_t length, uint64_t now) {
    char *end;
    size_t used;
    switch (connection->state) {
    case HEAD:
        if (!(end = find(in, length, "\r\n\r\n"))) return 0;
        *end = 0;
        errno = 0;
        if (strncmp(in, "HTTP/1.1 200", 12) != 0) die(in);
        char *said = strcasestr(in, "\r\ncontent-length:");
        connection->left = said ? strtoul(said + strlen("\r\ncontent-length:"), NULL, 10) : 0;
        connection->state = said ? WHOLE : SIZE;
        return (size_t)(end + 4 - in);
    case SIZE:
        if (!(end = find(in, length, "\r\n"))) return 0;
        connection->left = strtoul(in, NULL, 16) + 2; /* with the line end behind it */
        if (connection->left > 2) {
            connection->state = CHUNK;
            return (size_t)(end + 2 - in);
        }
        if (length < (size_t)(end + 4 - in)) return 0;
        complete(connection, now);
        return length;
    case CHUNK:
        used = length < connection->left ? length : connection->left;
        if (connection->left > 2) take_body(connection, in, used < connection->left - 2 ? used : connection->left - 2, now);
        connection->left -= used;
        if (!connection->left) connection->state = SIZE;
        return used;
    case WHOLE:
        used = length < connection->left ? length : connection->left;
        take_body(connection, in, used, now);
        connection->left -= used;
        if (!connection->left) complete(connection, now);
        return used;
    }
    return 0;
}

static void readable(struct connection *connection) {
    ssize_t got = recv(connection->fd, connection->in + connection->length, BUFFER - connection->length, MSG_DONTWAIT);
    uint64_t now = now_ns();
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) die("the connection was closed");
    size_t length = connection->length + (size_t)got, used = 0, more;
    while (used < length && (more = step(connection, connection->in + used, length - used, now))) used += more;
    memmove(connection->in, connection->in + used, length - used);
    connection->length = length - used;
}

int main(int count, char **arguments) {
    if (count != 8) die("usage: load json|stream PORT CONNECTIONS WARM_UP_S SECONDS REQUEST EXPECTED");
    streams = strcmp(arguments[1], "stream") == 0;
    struct sockaddr_in address = loopback(arguments[2]);
    int number = atoi(arguments[3]), poll = epoll_create1(0);
    request = read_file(arguments[6]);
    expected = read_file(arguments[7]);
    answers.ns = malloc(SAMPLES * sizeof *answers.ns);
    events.ns = malloc(SAMPLES * sizeof *events.ns);
    struct connection *all = calloc((size_t)number, sizeof *all);
    for (int each = 0; each < number; each++) {
        all[each].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(all[each].fd, (struct sockaddr *)&address, sizeof address)) die("connect");
        at_once(all[each].fd);
        struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &all[each]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[each].fd, &wanted);
    }
    counted_from = now_ns() + (uint64_t)(atof(arguments[4]) * 1e9);
    counted_until = counted_from + (uint64_t)(atof(arguments[5]) * 1e9);
    for (int each = 0; each < number; each++) ask(&all[each]);
    struct epoll_event ready[64];
    while (now_ns() < counted_until) {
        int found = epoll_wait(poll, ready, 64, 100);
        for (int each = 0; each < found; each++) readable(ready[each].data.ptr);
    }
    qsort(answers.ns, answers.count, sizeof *answers.ns, ascending);
    qsort(events.ns, events.count, sizeof *events.ns, ascending);
    printf("{\"asked\": %zu, \"answers\": %zu, \"per_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"events\": %zu, \"event_p50_us\": %.1f, \"event_p99_us\": %.1f}\n",
           asked, answers.count, (double)completed / atof(arguments[5]), percentile_us(&answers, 0.5), percentile_us(&answers, 0.99),
           events.count, percentile_us(&events, 0.5), percentile_us(&events, 0.99));
    return 0;
}
