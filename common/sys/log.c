/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines to stderr in one write each, and a ring of the newest ones.
 */
#include "common/sys/log.h"

#include <syslog.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/clock.h"
#include "common/sys/log_journal.h"

enum { RING_LINES = 512, RING_BYTES_MAX = 256 * 1024 };

struct line {
	enum log_level level;
	struct buf text;
};

static struct {
	const char *daemon;
	enum log_level level;
	struct line ring[RING_LINES]; /* line number n is in slot n % RING_LINES */
	uint64_t newest;	      /* number of the newest line; the first is 1 */
	size_t ring_bytes;
	bool journal;
} the_log = { .daemon = "muster", .level = LOG_LEVEL_INFO };

static const struct {
	const char *name, *column;
	enum log_level level;
	int priority; /* syslog's */
} levels[] = {
	{ "trace", "[TRACE]", LOG_LEVEL_TRACE, LOG_DEBUG },
	{ "debug", "[DEBUG]", LOG_LEVEL_DEBUG, LOG_DEBUG },
	{ "info", "[INFO] ", LOG_LEVEL_INFO, LOG_INFO },
	{ "notice", "[NOTICE]", LOG_LEVEL_NOTICE, LOG_NOTICE },
	{ "warn", "[WARN] ", LOG_LEVEL_WARNING, LOG_WARNING },
	{ "err", "[ERROR]", LOG_LEVEL_ERROR, LOG_ERR },
	/* other spellings that are read */
	{ "warning", NULL, LOG_LEVEL_WARNING, LOG_WARNING },
	{ "error", NULL, LOG_LEVEL_ERROR, LOG_ERR },
};

void log_init(const char *daemon, enum log_level level)
{
	the_log.daemon = daemon;
	the_log.level = level;
	the_log.journal = log_journal_here();
}

void log_level_set(enum log_level level)
{
	the_log.level = level;
}

enum log_level log_level_get(void)
{
	return the_log.level;
}

int log_level_parse(struct str name, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (str_ieq(name, str_of(levels[i].name))) {
			*out = levels[i].level;
			return 0;
		}
	}
	return ST_INVALID;
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

static void ring_drop_oldest(uint64_t number)
{
	struct line *l = &the_log.ring[number % RING_LINES];

	the_log.ring_bytes -= l->text.size;
	buf_fini(&l->text);
}

static void ring_add(enum log_level level, struct str text)
{
	uint64_t number = ++the_log.newest;
	struct line *l = &the_log.ring[number % RING_LINES];
	uint64_t oldest = number > RING_LINES ? number - RING_LINES + 1 : 1;

	the_log.ring_bytes -= l->text.size;
	buf_fini(&l->text);
	l->level = level;
	buf_put_str(&l->text, text);
	the_log.ring_bytes += l->text.size;
	while (the_log.ring_bytes > RING_BYTES_MAX && oldest < number) {
		ring_drop_oldest(oldest++);
	}
}

void log_at(enum log_level level, const char *event, const char *format, ...)
{
	OWN_EMBEDDED(buf_fini) struct buf line = { 0 };
	size_t event_at;
	va_list args;
	ssize_t ignored;

	if (level < the_log.level) {
		return;
	}
	wall_render(&line, clock_wall(), 3);
	buf_printf(&line, " %s %s: ", levels[level].column, the_log.daemon);
	event_at = line.n;
	buf_put_cstr(&line, event);
	if (format[0]) {
		buf_put_char(&line, ' ');
		va_start(args, format);
		buf_vprintf(&line, format, args);
		va_end(args);
	}
	for (size_t i = 0; i < line.n;
		i++) { /* one event is one line, whatever strangers put into values */
		if ((unsigned char)line.p[i] < 0x20) {
			line.p[i] = ' ';
		}
	}
	buf_put_char(&line, '\n');
	ring_add(level, buf_str(&line));
	if (the_log.journal && log_journal_put(levels[level].priority, the_log.daemon,
				       str_trim(str_skip(buf_str(&line), event_at)))) {
		return;
	}
	ignored = write(STDERR_FILENO, line.p, line.n);
	(void)ignored; /* nobody to tell */
}

bool log_allow(struct log_limit *limit)
{
	struct mono now = clock_mono();

	if (mono_before(now, limit->next)) {
		limit->dropped++;
		return false;
	}
	limit->next = mono_add_ms(now, 1000);
	return true;
}

uint64_t log_ring_read(uint64_t after, enum log_level level, struct buf *out)
{
	uint64_t first = the_log.newest > RING_LINES ? the_log.newest - RING_LINES + 1 : 1;

	for (uint64_t n = max_of(first, after + 1); n <= the_log.newest; n++) {
		const struct line *l = &the_log.ring[n % RING_LINES];

		if (l->level >= level) {
			buf_put_str(out, buf_str(&l->text));
		}
	}
	return the_log.newest;
}
