/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's native protocol, by libsystemd.
 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "common/sys/log_journal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "common/base/buf.h"

enum { FIXED_FIELDS = 5, PAIRS_MAX = 16 };

bool log_journal_here(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;

	return stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static size_t value_size(struct str s)
{
	ssize_t end;

	if (s.n && s.p[0] == '"') {
		end = str_find(str_skip(s, 1), '"');
		return end < 0 ? s.n : (size_t)end + 2;
	}
	end = str_find(s, ' ');
	return end < 0 ? s.n : (size_t)end;
}

bool log_pair_next(struct str *rest, struct str *key_out, struct str *value_out)
{
	while (rest->n) {
		size_t n = 0, size;

		*rest = str_trim(*rest);
		while (n < rest->n &&
			(isalnum((unsigned char)rest->p[n]) || strchr("_-.", rest->p[n]))) {
			n++;
		}
		if (n == 0 || n == rest->n || rest->p[n] != '=') {
			*rest = str_skip(*rest, value_size(*rest));
			continue;
		}
		*key_out = str_cut(*rest, n);
		*rest = str_skip(*rest, n + 1);
		size = value_size(*rest);
		*value_out = str_cut(*rest, size);
		if (size >= 2 && value_out->p[0] == '"' && value_out->p[size - 1] == '"') {
			*value_out = str_cut(str_skip(*value_out, 1), size - 2);
		}
		*rest = str_skip(*rest, size);
		return true;
	}
	return false;
}

static void pair_put(struct buf *out, struct str key, struct str value)
{
	buf_put_lit(out, "MUSTER_");
	for (size_t i = 0; i < key.n; i++) {
		unsigned char c = (unsigned char)key.p[i];

		buf_put_char(out, isalnum(c) ? (char)toupper(c) : '_');
	}
	buf_put_char(out, '=');
	buf_put_str(out, value);
}

bool log_journal_put(int priority, const char *daemon, struct str text)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct str rest, event = str_split(text, ' ', &rest), key, value;
	size_t ends[FIXED_FIELDS + PAIRS_MAX], count = 0, at = 0;
	struct iovec fields[FIXED_FIELDS + PAIRS_MAX];

	buf_printf(&bytes, "MESSAGE=" STR_FMT, STR_ARG(text));
	ends[count++] = bytes.n;
	buf_printf(&bytes, "PRIORITY=%d", priority);
	ends[count++] = bytes.n;
	buf_printf(&bytes, "SYSLOG_IDENTIFIER=muster-%s", daemon);
	ends[count++] = bytes.n;
	buf_printf(&bytes, "MUSTER_DAEMON=%s", daemon);
	ends[count++] = bytes.n;
	buf_printf(&bytes, "MUSTER_EVENT=" STR_FMT, STR_ARG(event));
	ends[count++] = bytes.n;
	while (rest.p && count < ARRAY_SIZE(ends) && log_pair_next(&rest, &key, &value)) {
		pair_put(&bytes, key, value);
		ends[count++] = bytes.n;
	}
	for (size_t i = 0; i < count; i++) {
		fields[i] = (struct iovec) { bytes.p + at, ends[i] - at };
		at = ends[i];
	}
	return sd_journal_sendv(fields, (int)count) == 0;
}
