/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event: a name and key=value pairs, on stderr and in a ring of the newest lines (for
 * `monitor`). Where stderr is systemd's journal, the pairs are fields there.
 *
 *     2026-11-20T08:51:24.236Z [INFO]  checkd: check-registered id=web interval=10s
 *
 * error: someone must act; warning: degraded, coping; notice: rare change of state; info: per
 * minute; debug: per message. Control characters in values become spaces. Secrets never go into a
 * line. The one global of the suite: there is one stderr.
 */
#ifndef MUSTER_COMMON_SYS_LOG_H
#define MUSTER_COMMON_SYS_LOG_H

#include "common/base/buf.h"
#include "common/base/time.h"

enum log_level {
	LOG_LEVEL_TRACE,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR
};

void log_init(const char *daemon, enum log_level level);
void log_level_set(enum log_level level);
enum log_level log_level_get(void);
int log_level_parse(struct str name,
	enum log_level *out); /* trace debug info notice warn(ing) err(or), any case. ST_INVALID */
const char *log_level_name(enum log_level level);

/* format continues the line after the event's name: log_info("started", "pid=%d", pid); "" when
 * there is nothing to add. */
void log_at(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);
#define log_error(event, ...)	log_at(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warning(event, ...) log_at(LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_notice(event, ...)	log_at(LOG_LEVEL_NOTICE, event, __VA_ARGS__)
#define log_info(event, ...)	log_at(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...)                                        \
	do {                                                         \
		if (log_level_get() <= LOG_LEVEL_DEBUG) {            \
			log_at(LOG_LEVEL_DEBUG, event, __VA_ARGS__); \
		}                                                    \
	} while (0)

/* For lines that a peer can trigger: at most one per second and limiter; tells how many were left
 * out. */
struct log_limit {
	struct mono next;
	uint64_t dropped;
};
bool log_allow(struct log_limit *limit); /* false: do not log now */

/* The ring: lines newer than `after` of at least this level, oldest first, each behind its newline.
 * Returns the newest number. */
uint64_t log_ring_read(uint64_t after, enum log_level level, struct buf *out);

#endif
