/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation with a runner.
 */
#include "checkd/program.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/log.h"
#include "common/sys/net.h"

struct program {
	struct list link; /* in scripts.stuck */
	struct scripts *scripts;
	struct loop *loop;
	struct program_hooks hooks;
	int pipe, runner;
	struct loop_io on_output, on_reply;
	struct loop_timer timeout;
	bool ended, timed_out, closed;
	struct script_reply reply;
};

void program_argument(struct buf *out, struct str word)
{
	buf_put_str(out, word);
	buf_put_char(out, '\0');
}

const char *program_shell(void)
{
	const char *shell = getenv("SHELL");

	return shell && shell[0] ? shell : "/bin/sh";
}

/* Closing the conversation ends whatever is left of the program. */
void program_stop(struct program *p)
{
	loop_io_set(&p->on_output, 0);
	loop_io_set(&p->on_reply, 0);
	loop_timer_stop(&p->timeout);
	if (list_linked(&p->link)) {
		list_del(&p->link);
		p->scripts->stuck_count--;
	}
	close(p->pipe);
	close(p->runner);
	free(p);
}

void programs_forget(struct scripts *scripts)
{
	while (!list_empty(&scripts->stuck)) {
		program_stop(list_first(&scripts->stuck, struct program, link));
	}
}

/* It has been killed, and is still there. */
static void program_is_stuck(struct program *p)
{
	const struct program_end end = { .timed_out = true };

	loop_io_set(&p->on_output, 0);
	list_add_tail(&p->scripts->stuck, &p->link);
	p->scripts->stuck_count++;
	log_warning("program-stuck", "count=%u", p->scripts->stuck_count);
	p->hooks.on_end(p->hooks.arg, &end);
}

static void finish_if_over(struct program *p)
{
	struct program_end end = { .timed_out = p->timed_out };

	/* After the time-out somebody who left the group may still hold the pipe: not our concern.
	 */
	if (!p->ended || !(p->closed || p->timed_out)) {
		return;
	}
	if (p->reply.outcome == SCRIPT_ENDED) {
		end.status = p->reply.value;
	} else {
		end.error = p->reply.value;
	}
	p->hooks.on_end(p->hooks.arg, &end);
	program_stop(p);
}

static void on_output(void *arg, int events)
{
	struct program *p = arg;
	char bytes[8192];
	ssize_t n = read(p->pipe, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n > 0) {
		p->hooks.on_output(p->hooks.arg, str_n(bytes, (size_t)n));
		return;
	}
	p->closed = true;
	loop_io_set(&p->on_output, 0);
	finish_if_over(p);
}

static void on_reply(void *arg, int events)
{
	struct program *p = arg;
	ssize_t n = recv(p->runner, &p->reply, sizeof(p->reply), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n != sizeof(p->reply)) { /* the runner was killed */
		p->reply = (struct script_reply) { SCRIPT_NOT_STARTED, n < 0 ? errno : EPIPE };
	}
	if (list_linked(&p->link)) { /* at last */
		program_stop(p);
		return;
	}
	p->ended = true;
	loop_io_set(&p->on_reply, 0);
	finish_if_over(p);
}

static void on_timeout(void *arg)
{
	struct program *p = arg;

	if (p->timed_out) {
		program_is_stuck(p);
		return;
	}
	p->timed_out = true;
	(void)shutdown(p->runner, SHUT_WR); /* the runner kills the group, and then tells so */
	loop_timer_in(&p->timeout, PROGRAM_LATE_MS);
	finish_if_over(p);
}

void program_hold(struct program *p, bool held)
{
	loop_io_set(&p->on_output, held || p->closed ? 0 : LOOP_READ);
}

/* ---- starting ---- */

/* One message with descriptors. 0 or errno. */
static int pass(int socket, struct str bytes, const int *fds, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(SCRIPT_DESCRIPTORS_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes.p, bytes.n };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	return sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

/* A conversation with a new runner. 0 or errno. */
static int runner_get(struct scripts *scripts, int *out)
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
	r = pass(scripts->server, STR("r"), &ends[1], 1);
	close(ends[1]);
	if (r) {
		close(ends[0]);
		return r;
	}
	*out = ends[0];
	return 0;
}

/* What the program is to read, as a file without a name, at its begin. -1 with errno */
static int input_open(struct str input)
{
	OWN_FD int fd = memfd_create("input", MFD_CLOEXEC);

	while (fd >= 0 && input.n) {
		ssize_t n = write(fd, input.p, input.n);

		if (n <= 0) {
			return -1;
		}
		input = str_skip(input, (size_t)n);
	}
	return fd < 0 || lseek(fd, 0, SEEK_SET) ? -1 : take_fd(&fd);
}

static int request_send(int runner, const struct program_request *q, int output)
{
	OWN_EMBEDDED(buf_fini) struct buf request = { 0 };
	int fds[SCRIPT_DESCRIPTORS_MAX] = { output, -1 };
	OWN_FD int input = -1;
	size_t count = 1;

	if (q->input_is != PROGRAM_NO_INPUT) {
		input = input_open(q->input);
		if (input < 0) {
			return errno;
		}
		fds[count++] = input;
		buf_put_char(&request, q->input_is == PROGRAM_STDIN ? SCRIPT_INPUT : SCRIPT_SPILL);
		buf_put_str(&request, q->environment);
		buf_put_char(&request, '\0');
	}
	buf_put_str(&request, q->arguments);
	return request.n > SCRIPT_REQUEST_MAX ? E2BIG : pass(runner, buf_str(&request), fds, count);
}

static int conversation_begin(
	struct scripts *scripts, const struct program_request *q, struct program *p)
{
	OWN_FD int reading = -1;
	OWN_FD int writing = -1;
	OWN_FD int runner = -1;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC)) {
		return errno;
	}
	reading = fds[0];
	writing = fds[1];
	fcntl(reading, F_SETFL, O_NONBLOCK);
	(void)fchmod(writing, 0622); /* another user's program may open /dev/stdout anew */
	r = runner_get(scripts, &runner);
	r = r ? r : request_send(runner, q, writing);
	if (r == 0) {
		p->pipe = take_fd(&reading);
		p->runner = take_fd(&runner);
	}
	return r;
}

int program_start(struct loop *loop, struct scripts *scripts, const struct program_request *q,
	const struct program_hooks *hooks, struct program **out)
{
	struct program *p;
	int r;

	if (scripts->stuck_count >= PROGRAM_STUCK_MAX) {
		return EAGAIN;
	}
	p = xcalloc(1, sizeof(*p));
	r = conversation_begin(scripts, q, p);
	if (r) {
		free(p);
		return r;
	}
	p->loop = loop;
	p->scripts = scripts;
	p->hooks = *hooks;
	loop_io_init(&p->on_output, loop, p->pipe, on_output, p);
	loop_io_set(&p->on_output, LOOP_READ);
	loop_io_init(&p->on_reply, loop, p->runner, on_reply, p);
	loop_io_set(&p->on_reply, LOOP_READ);
	loop_timer_init(&p->timeout, loop, on_timeout, p);
	loop_timer_in(&p->timeout, q->timeout_ms);
	*out = p;
	return 0;
}
