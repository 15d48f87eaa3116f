/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a node run by `muster agent`: all daemons, and we ourselves, write their lines into
 * one pipe; from there they go to stdout, indented by four columns as Consul does, and to log_file.
 * A line is one write of at most PIPE_BUF bytes, so lines do not mix; longer ones may. Who does not
 * read stdout (a terminal that is stopped, a pager) must not stop the daemons: what does not go out
 * waits here, up to a limit, and is then dropped and counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/clock.h"
#include "ctl/agent.h"

enum { SHOWN_BYTES_MAX = 32 << 10, CLOSE_PATIENCE_MS = 1000 };

struct agent_log {
	int in, out; /* the pipe */
	struct loop_io io;
	struct buf lines; /* not yet ended */
	/* stdout, and what it has not taken yet */
	int shown_fd;
	struct loop_io shown_io;
	struct buf shown;
	uint64_t dropped;
	/* log_file and its rotation; fd -1: none */
	int fd;
	struct str path;
	int64_t bytes_max, bytes;
	struct mono rotate_at;
	int64_t rotate_after_ms;
	int64_t files_max;
};

static void write_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno != EINTR) {
			return; /* nobody reads: the log is lost, the node goes on */
		}
		s = str_skip(s, n > 0 ? (size_t)n : 0);
	}
}

/* ---- log_file ---- */

/* The file being written is always <base>-<unix ns><ext>. */
static void name_parts(const struct agent_log *log, struct str *base_out, struct str *extension_out)
{
	ssize_t dot = str_rfind(log->path, '.');

	*base_out = log->path;
	*extension_out = STR(".log");
	if (dot > str_rfind(log->path, '/')) {
		*base_out = str_cut(log->path, (size_t)dot);
		*extension_out = str_skip(log->path, (size_t)dot);
	}
}

static void file_name(const struct agent_log *log, struct buf *out)
{
	struct str base, extension;

	name_parts(log, &base, &extension);
	buf_printf(out, STR_FMT "-%lld" STR_FMT, STR_ARG(base), (long long)clock_wall().ns,
		STR_ARG(extension));
}

static void pattern_put(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] && strchr("*?[\\", s.p[i])) {
			buf_put_char(out, '\\');
		}
		buf_put_char(out, s.p[i]);
	}
}

/* One that was written before: only a number stands between base and extension. */
static bool is_older(const struct agent_log *log, struct str name, struct str newest)
{
	struct str base, extension, number;
	uint64_t ns;

	name_parts(log, &base, &extension);
	number = str_skip(name, base.n + 1);
	number = str_cut(number, number.n - min_of(number.n, extension.n));
	return !str_eq(name, newest) && str_to_u64(number, &ns) == 0;
}

/* Of all runs, as many stay as log_rotate_max_files says; less than 0: none. */
static void older_drop(const struct agent_log *log, struct str newest)
{
	OWN_EMBEDDED(buf_fini) struct buf pattern = { 0 };
	int64_t count = 0, keep = max_of(log->files_max, (int64_t)0);
	struct str base, extension;
	glob_t found = { 0 };

	name_parts(log, &base, &extension);
	pattern_put(&pattern, base);
	buf_put_lit(&pattern, "-*");
	pattern_put(&pattern, extension);
	if (log->files_max == 0 || glob(buf_cstr(&pattern), 0, NULL, &found)) {
		return;
	}
	for (size_t i = 0; i < found.gl_pathc; i++) { /* sorted: the oldest first */
		count += is_older(log, str_of(found.gl_pathv[i]), newest);
	}
	for (size_t i = 0; i < found.gl_pathc && count > keep; i++) {
		if (is_older(log, str_of(found.gl_pathv[i]), newest)) {
			unlink(found.gl_pathv[i]);
			count--;
		}
	}
	globfree(&found);
}

/* Where that fails the older one is written on. */
static int file_open(struct agent_log *log)
{
	OWN_EMBEDDED(buf_fini) struct buf name = { 0 };
	int fd;

	file_name(log, &name);
	fd = open(buf_cstr(&name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd < 0) {
		return err_errno("log_file %s", buf_cstr(&name));
	}
	fd_close_own(&log->fd);
	log->fd = fd;
	older_drop(log, buf_str(&name));
	log->bytes = 0;
	log->rotate_at = mono_add_ms(clock_mono(), log->rotate_after_ms);
	return 0;
}

static void file_write(struct agent_log *log, struct str line)
{
	if (log->fd < 0) {
		return;
	}
	if ((log->bytes_max > 0 && log->bytes > 0 &&
		    log->bytes + (int64_t)line.n > log->bytes_max) ||
		!mono_before(clock_mono(), log->rotate_at)) {
		(void)file_open(log);
	}
	write_all(log->fd, line);
	log->bytes += (int64_t)line.n;
}

/* ---- stdout ---- */

static void show(struct agent_log *log)
{
	size_t done = 0;
	ssize_t n = 1;

	while (done < log->shown.n && (n > 0 || errno == EINTR)) {
		n = write(log->shown_fd, log->shown.p + done, log->shown.n - done);
		done += n > 0 ? (size_t)n : 0;
	}
	if (n < 0 && errno != EAGAIN) {
		done = log->shown.n; /* nobody reads: the log is lost, the node goes on */
	}
	if (done) {
		memmove(log->shown.p, log->shown.p + done, log->shown.n - done);
		log->shown.n -= done;
	}
	loop_io_set(&log->shown_io, log->shown.n ? LOOP_WRITE : 0);
}

static void on_shown(void *arg, int events)
{
	show(arg);
}

static void line_show(struct agent_log *log, const char *indent, struct str line)
{
	if (log->shown.n + line.n > SHOWN_BYTES_MAX) {
		log->dropped++;
		return;
	}
	if (log->dropped) {
		buf_printf(&log->shown, "    (%llu lines are missing: they were not read)\n",
			(unsigned long long)log->dropped);
		log->dropped = 0;
	}
	buf_put_cstr(&log->shown, indent);
	buf_put_str(&log->shown, line);
}

void agent_log_say(struct agent_log *log, const char *format, ...)
{
	OWN_EMBEDDED(buf_fini) struct buf line = { 0 };
	va_list args;

	va_start(args, format);
	buf_vprintf(&line, format, args);
	va_end(args);
	buf_put_char(&line, '\n');
	line_show(log, "", buf_str(&line));
	show(log);
}

/* A description of our own, that does not wait. Files never do, and must keep the position that
 * they share with what else is printed. */
static int shown_open(void)
{
	struct stat st;
	int fd = -1;

	if (fstat(STDOUT_FILENO, &st) == 0 && !S_ISREG(st.st_mode)) {
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

/* ---- the pipe ---- */

static void lines_write(struct agent_log *log)
{
	struct str rest = buf_str(&log->lines);
	ssize_t end;

	while ((end = str_find(rest, '\n')) >= 0) {
		struct str line = str_cut(rest, (size_t)end + 1);

		line_show(log, "    ", line);
		file_write(log, line);
		rest = str_skip(rest, line.n);
	}
	show(log);
	if (rest.n != log->lines.n) {
		memmove(log->lines.p, rest.p, rest.n);
		log->lines.n = rest.n;
	}
}

/* true: there may be more */
static bool pipe_read(struct agent_log *log)
{
	enum { CHUNK = 16384, LINE_MAX_BYTES = 256 * 1024 };
	ssize_t n = read(log->in, buf_reserve(&log->lines, CHUNK), CHUNK);

	if (n <= 0) {
		return false;
	}
	log->lines.n += (size_t)n;
	if (log->lines.n > LINE_MAX_BYTES) {
		buf_put_char(&log->lines, '\n');
	}
	lines_write(log);
	return true;
}

static void on_pipe(void *arg, int events)
{
	pipe_read(arg);
}

int agent_log_open(struct loop *loop, const struct conf *c, struct agent_log **out)
{
	struct agent_log *log = xcalloc(1, sizeof(*log));
	int fds[2], own;
	char path[32];

	*log = (struct agent_log) { .in = -1, .out = -1, .fd = -1, .path = c->log_file };
	log->bytes_max = c->log_rotate_bytes;
	log->files_max = c->log_rotate_max_files;
	log->rotate_after_ms = c->log_rotate_duration_ns / NS_PER_MS;
	if (c->log_file.n && file_open(log)) {
		free(log);
		return -EIO;
	}
	if (pipe2(fds, O_CLOEXEC)) {
		free(log);
		return err_errno("pipe");
	}
	log->in = fds[0];
	log->out = fds[1];
	log->shown_fd = shown_open();
	loop_io_init(&log->shown_io, loop, log->shown_fd, on_shown, log);
	fcntl(log->in, F_SETFL, O_NONBLOCK);
	/* We are the reader: our own lines must never wait for room. A description of our own makes
	 * only us non-blocking. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", log->out);
	own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (own >= 0) {
		dup2(own, STDERR_FILENO);
		close(own);
	}
	loop_io_init(&log->io, loop, log->in, on_pipe, log);
	loop_io_set(&log->io, LOOP_READ);
	*out = log;
	return 0;
}

int agent_log_fd(const struct agent_log *log)
{
	return log->out;
}

void agent_log_close(struct agent_log *log)
{
	struct pollfd room = { log->shown_fd, POLLOUT, 0 };

	while (pipe_read(log)) {
	}
	while (log->shown.n && poll(&room, 1, CLOSE_PATIENCE_MS) > 0) {
		show(log);
	}
	loop_io_set(&log->io, 0);
	loop_io_set(&log->shown_io, 0);
	dup2(STDOUT_FILENO, STDERR_FILENO);
	close(log->in);
	close(log->out);
	fd_close_own(&log->shown_fd);
	fd_close_own(&log->fd);
	buf_fini(&log->lines);
	buf_fini(&log->shown);
	free(log);
}
