/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Script checks: a program that a runner starts for us (script.h), with its output in a pipe. It is
 * done when the program has ended and everybody has closed the pipe; at the time-out all of it is
 * killed, and the run lasts until it is gone. Whatever happens nothing of it stays behind.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkd/run.h"
#include "checkd/script.h"
#include "common/base/err.h"
#include "common/base/tail.h"
#include "common/sys/net.h"

struct script {
	struct run *run;
	int pipe, runner;
	struct loop_io on_output, on_reply;
	struct loop_timer timeout;
	bool ended, timed_out, closed;
	struct script_reply reply;
	struct tail printed;
};

/* Closing the conversation ends whatever is left of the program. */
static void script_free(struct script *s)
{
	loop_io_set(&s->on_output, 0);
	loop_io_set(&s->on_reply, 0);
	loop_timer_stop(&s->timeout);
	if (s->pipe >= 0) {
		close(s->pipe);
	}
	if (s->runner >= 0) {
		close(s->runner);
	}
	tail_fini(&s->printed);
	free(s);
}

/* Nobody wants the result any more. */
static void script_stop(struct run *run)
{
	struct script *s = run->impl;

	run->impl = NULL;
	run->stop = NULL;
	script_free(s);
}

static void output_render(const struct script *s, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf tail = { 0 };

	tail_render(&s->printed, &tail);
	output_tail(out, buf_str(&tail), s->printed.total, s->printed.size);
}

static void timeout_render(const struct script *s, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf printed = { 0 };

	buf_put_lit(out, "Timed out (");
	duration_render(out, s->run->timeout_ms * NS_PER_MS);
	buf_put_lit(out, ") running check");
	output_render(s, &printed);
	if (printed.n) {
		buf_put_lit(out, "\n\n");
		buf_put_str(out, buf_str(&printed));
	}
}

/* Nagios' exit codes. */
static enum check_status status_of(int wait_status)
{
	if (!WIFEXITED(wait_status)) {
		return CHECK_CRITICAL;
	}
	switch (WEXITSTATUS(wait_status)) {
	case 0:
		return CHECK_PASSING;
	case 1:
		return CHECK_WARNING;
	default:
		return CHECK_CRITICAL;
	}
}

/* Go's words for what could not be started. */
static void start_failed(struct run *run, int error)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	const struct check_def *def = run->def;
	const char *program = arena_str(&arena, def->shell.n ? def->shell : def->args.items[0]).p;

	if (error == ENOENT && !strchr(program, '/')) {
		buf_printf(&text, "exec: \"%s\": executable file not found in $PATH", program);
	} else {
		const char *words = strerror(error);

		buf_printf(&text, "fork/exec %s: %c%s", program, tolower((unsigned char)words[0]),
			words + 1);
	}
	run_done(run, CHECK_CRITICAL, buf_str(&text));
}

static void finish(struct script *s)
{
	OWN_EMBEDDED(buf_fini) struct buf output = { 0 };
	struct run *run = s->run;

	if (s->timed_out) {
		timeout_render(s, &output);
		run_done(run, CHECK_CRITICAL, buf_str(&output));
	} else if (s->reply.outcome == SCRIPT_ENDED) {
		output_render(s, &output);
		run_done(run, status_of(s->reply.value), buf_str(&output));
	} else {
		start_failed(run, s->reply.value);
	}
	run->impl = NULL;
	run->stop = NULL;
	script_free(s);
}

static void finish_if_over(struct script *s)
{
	/* After the time-out somebody who left the group may still hold the pipe: not our concern.
	 */
	if (s->ended && (s->closed || s->timed_out)) {
		finish(s);
	}
}

static void on_output(void *arg, int events)
{
	struct script *s = arg;
	char bytes[8192];
	ssize_t n = read(s->pipe, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n > 0) {
		tail_put(&s->printed, str_n(bytes, (size_t)n));
		return;
	}
	s->closed = true;
	loop_io_set(&s->on_output, 0);
	finish_if_over(s);
}

static void on_reply(void *arg, int events)
{
	struct script *s = arg;
	ssize_t n = recv(s->runner, &s->reply, sizeof(s->reply), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n != sizeof(s->reply)) { /* the runner was killed */
		s->reply = (struct script_reply) { SCRIPT_NOT_STARTED, n < 0 ? errno : EPIPE };
	}
	s->ended = true;
	loop_io_set(&s->on_reply, 0);
	finish_if_over(s);
}

static void on_timeout(void *arg)
{
	struct script *s = arg;

	s->timed_out = true;
	(void)shutdown(s->runner, SHUT_WR); /* the runner kills the group, and then tells so */
	finish_if_over(s);
}

/* ---- starting ---- */

static void request_make(const struct check_def *def, struct buf *out)
{
	/* The Shell form: one command line for a shell of one's choice. */
	if (def->shell.n) {
		buf_put_str(out, def->shell);
		buf_put(out, "\0-c", 4);
	}
	for (uint32_t i = 0; i < def->args.count; i++) {
		buf_put_str(out, def->args.items[i]);
		buf_put_char(out, '\0');
	}
}

/* One message with one descriptor. 0 or errno. */
static int pass(int socket, struct str bytes, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes.p, bytes.n };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

/* A conversation with a new runner. 0 or errno. */
static int runner_get(const struct scripts *scripts, int *out)
{
	OWN_EMBEDDED(buf_fini) struct buf address = { 0 };
	struct net_address a;
	int ends[2], r;

	if (scripts->path) {
		buf_printf(&address, "unix://%s", scripts->path);
		if (net_address_parse(buf_str(&address), -1, &a)) {
			return ENAMETOOLONG;
		}
		*out = net_connect(&a, SOCK_SEQPACKET);
		return *out < 0 ? -*out : 0;
	}
	if (scripts->server < 0) {
		return EPERM;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		return errno;
	}
	r = pass(scripts->server, STR("r"), ends[1]);
	close(ends[1]);
	if (r) {
		close(ends[0]);
		return r;
	}
	*out = ends[0];
	return 0;
}

static int script_begin(struct run *run, int *pipe_out, int *runner_out)
{
	OWN_EMBEDDED(buf_fini) struct buf request = { 0 };
	OWN_FD int reading = -1;
	OWN_FD int writing = -1;
	OWN_FD int runner = -1;
	int fds[2], r;

	request_make(run->def, &request);
	if (request.n > SCRIPT_REQUEST_MAX || run->def->args.count + 2 > SCRIPT_ARGUMENTS_MAX) {
		return E2BIG;
	}
	if (pipe2(fds, O_CLOEXEC)) {
		return errno;
	}
	reading = fds[0];
	writing = fds[1];
	fcntl(reading, F_SETFL, O_NONBLOCK);
	r = runner_get(run_scripts(run), &runner);
	r = r ? r : pass(runner, buf_str(&request), writing);
	if (r) {
		return r;
	}
	*pipe_out = take_fd(&reading);
	*runner_out = take_fd(&runner);
	return 0;
}

void script_start(struct run *run)
{
	struct script *s;
	int output = -1, runner = -1, r = script_begin(run, &output, &runner);

	if (r) {
		start_failed(run, r);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	*s = (struct script) { .run = run, .pipe = output, .runner = runner };
	tail_init(&s->printed, run->output_max);
	run->impl = s;
	run->stop = script_stop;
	loop_io_init(&s->on_output, run->loop, s->pipe, on_output, s);
	loop_io_set(&s->on_output, LOOP_READ);
	loop_io_init(&s->on_reply, run->loop, s->runner, on_reply, s);
	loop_io_set(&s->on_reply, LOOP_READ);
	loop_timer_init(&s->timeout, run->loop, on_timeout, s);
	loop_timer_in(&s->timeout, run->timeout_ms);
}
