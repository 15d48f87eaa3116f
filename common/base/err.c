/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Origin of the newest environment error, kept per thread so that the place that decides can log
 * it.
 */
#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static __thread char newest_text[512];

const char *status_name(int status)
{
	static const char *const names[] = {
		[ST_OK] = "ok",
		[ST_NOT_FOUND] = "not found",
		[ST_INVALID] = "invalid",
		[ST_TRUNCATED] = "truncated",
		[ST_TOO_LARGE] = "too large",
		[ST_FULL] = "full",
		[ST_AGAIN] = "again",
		[ST_TIMEOUT] = "timeout",
		[ST_CLOSED] = "closed",
		[ST_DENIED] = "denied",
		[ST_CONFLICT] = "conflict",
		[ST_NOT_LEADER] = "not leader",
		[ST_NOT_READY] = "not ready",
		[ST_UNSUPPORTED] = "unsupported",
		[ST_CORRUPT] = "corrupt",
		[ST_STORAGE] = "storage full or failing",
	};

	if (status < 0) {
		return strerror(-status);
	}
	if ((size_t)status >= sizeof(names) / sizeof(names[0])) {
		return "unknown";
	}
	return names[status];
}

int err_new_at(const char *file, int line, int error, const char *what, ...)
{
	const char *base = strrchr(file, '/');
	char message[320];
	va_list args;

	va_start(args, what);
	vsnprintf(message, sizeof(message), what, args);
	va_end(args);
	snprintf(newest_text, sizeof(newest_text), "%s: %s (%s:%d)", message, strerror(-error),
		base ? base + 1 : file, line);
	return error;
}

const char *err_text(void)
{
	return newest_text[0] ? newest_text : "no error";
}
