/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/agent/monitor: the log lines of all daemons of this node, from now on, until the client goes.
 * Each daemon keeps a ring of its newest lines; we ask each again a moment after its last answer.
 * What comes together is put in order of time.
 */
#include <stdio.h>

#include "common/base/err.h"
#include "httpd/local.h"
#include "httpd/routes.h"

enum { POLL_MS = 200, PENDING_MAX = 4 << 20 };

struct monitor;

struct source {
	struct monitor *monitor;
	uint64_t after; /* the number of the newest line that we have */
	uint64_t pid;	/* of the process whose numbers these are */
	bool asked, started;
};

/* Lives until the stream is closed and the last answer is in. */
struct monitor {
	bool closed, as_json;
	int asked_count;
	struct str level;
	char level_text[16];
	struct buf lines;
	struct source sources[LOCAL_DAEMONS_COUNT];
};

static void monitor_settle(struct monitor *m)
{
	if (m->closed && m->asked_count == 0) {
		buf_fini(&m->lines);
		free(m);
	}
}

static bool number_find(const struct json *object, const char *name, uint64_t *out)
{
	const struct json *v = json_find(object, name);

	return v && v->type == JSON_NUMBER && str_to_u64(v->text, out) == 0;
}

static void source_take(struct source *s, struct str answer)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct json *v;
	uint64_t newest, pid;

	if (json_parse(&arena, answer, &v, NULL) || !number_find(v, "newest", &newest) ||
		!number_find(v, "pid", &pid)) {
		return;
	}
	if (s->started && pid != s->pid) {
		s->pid = pid;
		s->after = 0; /* another process: its first lines are news, and asked for next */
		return;
	}
	if (s->started && s->monitor->lines.n < PENDING_MAX) {
		buf_put_str(&s->monitor->lines, json_find_text(v, "lines"));
	}
	s->started = true;
	s->pid = pid;
	s->after = newest;
}

static void on_lines(void *arg, int status, struct str answer)
{
	struct source *s = arg;
	struct monitor *m = s->monitor;

	s->asked = false;
	m->asked_count--;
	if (status == 0) {
		source_take(s, answer);
	}
	monitor_settle(m);
}

static void source_ask(struct httpd *h, struct source *s, enum local_daemon daemon)
{
	char request[128];

	/* the first question only finds out where the ring stands */
	snprintf(request, sizeof(request),
		"{\"cmd\":\"log\",\"after\":%llu,\"level\":\"" STR_FMT "\"}",
		s->started ? (unsigned long long)s->after : (unsigned long long)UINT64_MAX,
		STR_ARG(s->monitor->level));
	s->asked = true;
	s->monitor->asked_count++;
	local_call(h->local, daemon, str_of(request), on_lines, s);
}

/* ---- lines out ---- */

static int line_cmp(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	int r = str_cmp(str_cut(*x, 24), str_cut(*y, 24)); /* the instant */

	return r ? r : (x->p < y->p ? -1 : 1);
}

/* 2026-11-20T08:51:24.236Z [INFO]  checkd: event key=value  as the object that ?logjson asks for */
static void line_put_json(struct buf *out, struct str line)
{
	struct str rest, module, level, at = str_split(line, ' ', &rest);
	struct jsonw w = jsonw_of(out);
	char lower[16];

	str_split(rest, '[', &level);
	level = str_cut(str_split(level, ']', &rest), sizeof(lower));
	str_lower_into(level, lower);
	module = str_split(rest, ':', &rest);
	jsonw_open(&w, '{');
	jsonw_put_str(&w, "@level", str_n(lower, level.n));
	jsonw_put_str(&w, "@message", str_trim(rest));
	jsonw_put_str(&w, "@module", str_trim(module));
	jsonw_put_str(&w, "@timestamp", at);
	jsonw_close(&w, '}');
}

static void lines_put(struct monitor *m, struct arena *arena, struct buf *out)
{
	struct str rest = buf_str(&m->lines);
	uint32_t count = 0, room = 0;
	struct str *lines = NULL;

	while (rest.n) {
		struct str line = str_split(rest, '\n', &rest);

		lines = wire_list_room(arena, lines, count, &room, sizeof(lines[0]));
		lines[count++] = line;
	}
	if (count) {
		qsort(lines, count, sizeof(lines[0]), line_cmp);
	}
	for (uint32_t i = 0; i < count; i++) {
		if (m->as_json) {
			line_put_json(out, lines[i]);
		} else {
			buf_put_str(out, lines[i]);
		}
		buf_put_char(out, '\n');
	}
	buf_clear(&m->lines);
}

static enum stream_state produce(struct exchange *x, struct buf *out)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct monitor *m = x->state;

	lines_put(m, &arena, out);
	for (size_t i = 0; i < LOCAL_DAEMONS_COUNT; i++) {
		if (!m->sources[i].asked) {
			source_ask(x->httpd, &m->sources[i], i);
		}
	}
	return STREAM_WAIT;
}

static void closed(struct exchange *x)
{
	struct monitor *m = x->state;

	m->closed = true;
	monitor_settle(m);
}

static bool level_known(struct str level)
{
	static const char *const words[] = { "trace", "debug", "info", "warn", "err", "error" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (str_ieq(level, str_of(words[i]))) {
			return true;
		}
	}
	return false;
}

void handle_agent_monitor(struct exchange *x)
{
	static const struct stream stream = {
		.produce = produce,
		.close = closed,
		.size = -1,
		.wait_ms = POLL_MS,
		.content_type = { "", 0 },
	};
	struct str level = request_param(&x->request, "loglevel");
	struct monitor *m;

	if (!level.n) {
		level = STR("info");
	}
	if (!level_known(level)) {
		answer_printf(x, 400, "Bad request: Unknown log level: " STR_FMT, STR_ARG(level));
		return;
	}
	m = xcalloc(1, sizeof(*m));
	m->as_json = request_has(&x->request, "logjson");
	memcpy(m->level_text, level.p, level.n);
	m->level = str_n(m->level_text, level.n);
	for (size_t i = 0; i < LOCAL_DAEMONS_COUNT; i++) {
		m->sources[i].monitor = m;
	}
	x->state = m;
	answer_stream(x, 200, &stream);
}
