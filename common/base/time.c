/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dates as text.
 */
#include "common/base/time.h"

#include <time.h>

#include "common/base/buf.h"

void wall_render(struct buf *out, struct wall w, int digits)
{
	time_t seconds = (time_t)(w.ns / NS_PER_S);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
		tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (digits == 3) {
		buf_printf(out, ".%03d", (int)(w.ns % NS_PER_S / NS_PER_MS));
	} else if (digits == 9) {
		buf_printf(out, ".%09d", (int)(w.ns % NS_PER_S));
	}
	buf_put_char(out, 'Z');
}
