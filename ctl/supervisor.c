/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemons of a node as children: started together, restarted when they die (at once, then after
 * 50 ms, 100 ms ... 1 s; the count starts again after 10 s of life; we never give up, unless a
 * daemon says with DAEMON_GIVEN_UP that the node is to end), stopped one after the other in the
 * order in which they need each other: those that serve outside first, the log of commands last.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/json.h"
#include "common/sys/clock.h"
#include "common/sys/log.h"
#include "ctl/agent.h"

enum {
	BACKOFF_FIRST_MS = 50,
	BACKOFF_MAX_MS = 1000,
	LIFE_GOOD_MS = 10000,  /* who lived so long is restarted at once */
	LIFE_SERVED_MS = 1000, /* or so long, and then ended as it should */
	STOP_MAX_MS = 7000,    /* the daemons cut their own drain at 5 s */
	SOCKET_FIRST = 3,
	/* descriptors are moved up here before they are put in place */
	SOCKET_ASIDE = SOCKET_FIRST + AGENT_SOCKETS_MAX,
	ARGUMENTS_MAX = 2 * DAEMON_SOURCES_MAX + 8,
};

static const struct daemon_row {
	const char *name;
	bool server_only;
	const char *sockets; /* names start with this; NULL: none */
	int nice;	     /* where that is ours to give: what others wait for runs first */
} rows[] = {
	/* in the order of stopping */
	{ "httpd", false, "http", 0 },
	{ "dnsd", false, "dns", 0 },
	{ "checkd", false, NULL, 0 },
	{ "gossipd", false, "gossip", -10 },
	{ "catalogd", true, NULL, -5 },
	{ "raftd", true, "raft", -10 },
};

struct child {
	struct supervisor *supervisor;
	const struct daemon_row *row;
	char *program;
	pid_t pid; /* 0: not running */
	bool wanted, ready, stop_asked;
	struct mono started;
	uint64_t restarts;
	unsigned failures; /* deaths in a row */
	int last_status;
	struct loop_timer again;
};

struct supervisor {
	struct supervisor_setup setup;
	struct child children[ARRAY_SIZE(rows)];
	struct loop_signal on_child;
	struct loop_timer stop_limit;
	struct loop_io notify_io;
	int notify_fd, run_fd;
	pid_t pid; /* ours: a child may find that its parent has become another */
	char notify_path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	bool stopping, ready_told;
};

/* ---- starting ---- */

/* In the build tree a daemon lies in the folder beside ours, else in libexec. */
static char *program_path(const char *dir, const char *name)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = 0;
		*strrchr(self, '/') = 0;
		buf_printf(&path, "%s/../%s/muster-%s", self, name, name);
		if (access(buf_cstr(&path), X_OK) == 0) {
			return xstrdup(buf_cstr(&path));
		}
	}
	buf_clear(&path);
	buf_printf(&path, "%s/muster-%s", dir, name);
	return access(buf_cstr(&path), X_OK) == 0 ? xstrdup(buf_cstr(&path)) : NULL;
}

/* In the child: the row's sockets become 3, 4 ...; their names are appended to *names. */
static int sockets_place(
	const struct supervisor *s, const struct daemon_row *row, struct buf *names)
{
	const struct agent_sockets *all = s->setup.sockets;
	int aside[AGENT_SOCKETS_MAX], count = 0;

	for (size_t i = 0; row->sockets && i < all->count; i++) {
		if (str_starts(str_of(all->rows[i].name), str_of(row->sockets))) {
			aside[count++] = fcntl(all->rows[i].fd, F_DUPFD_CLOEXEC, SOCKET_ASIDE);
			buf_printf(names, "%s%s", names->n ? ":" : "", all->rows[i].name);
		}
	}
	for (int i = 0; i < count; i++) {
		dup2(aside[i], SOCKET_FIRST + i);
	}
	return count;
}

/* Linux shares the processor out among sessions first (sched_autogroup), then within them: in one
 * of its own a daemon does not wait for what the others of the node are busy with. Only those that
 * come first have one: where all had, the others could wait for seconds while many were busy. */
static void precedence_take(int nice)
{
	OWN_FD int group = -1;

	if (!nice) {
		return;
	}
	setsid();
	(void)setpriority(PRIO_PROCESS, 0, nice);
	group = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
	if (group >= 0) {
		(void)!dprintf(group, "%d", nice);
	}
}

/* As a program expects them; what came since the fork counts now. */
static void signals_restore(void)
{
	static const int handled[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGCHLD };
	sigset_t none;

	for (size_t i = 0; i < ARRAY_SIZE(handled); i++) {
		signal(handled[i], SIG_DFL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child_exec(const struct child *c)
{
	const struct supervisor *s = c->supervisor;
	const char *argv[ARGUMENTS_MAX] = { c->program, "-run-dir", s->setup.run_dir };
	OWN_EMBEDDED(buf_fini) struct buf names = { 0 }, number = { 0 };
	int argc = 3, count, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signals_restore();
	precedence_take(c->row->nice);
	for (int i = 0; s->setup.sources[i] && argc < ARGUMENTS_MAX - 1; i++) {
		argv[argc++] = s->setup.sources[i];
	}
	dup2(null, STDIN_FILENO);
	dup2(s->setup.log_fd, STDOUT_FILENO);
	dup2(s->setup.log_fd, STDERR_FILENO);
	count = sockets_place(s, c->row, &names);
	setenv("NOTIFY_SOCKET", s->notify_path, 1);
	buf_printf(&number, "%d", (int)s->pid);
	setenv("MUSTER_PARENT", buf_cstr(&number), 1);
	unsetenv("WATCHDOG_USEC");
	if (count) {
		setenv("LISTEN_FDNAMES", buf_cstr(&names), 1);
		buf_clear(&number);
		buf_printf(&number, "%d", count);
		setenv("LISTEN_FDS", buf_cstr(&number), 1);
		buf_clear(&number);
		buf_printf(&number, "%d", (int)getpid());
		setenv("LISTEN_PID", buf_cstr(&number), 1);
	} else {
		unsetenv("LISTEN_FDS");
	}
	execv(c->program, (char **)argv);
	_exit(127);
}

/* With our handlers a child would take what is sent to it in its first moments for something of
 * ours, and forget it. */
static void child_start(struct child *c)
{
	sigset_t all, before;
	pid_t pid;

	c->ready = false;
	c->stop_asked = false;
	c->started = clock_mono();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		child_exec(c);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0) {
		log_error("fork-failed", "daemon=%s error=\"%s\"", c->row->name, strerror(errno));
		loop_timer_in(&c->again, BACKOFF_MAX_MS);
		return;
	}
	c->pid = pid;
}

static void on_again(void *arg)
{
	child_start(arg);
}

static int64_t backoff_ms(unsigned failures)
{
	return failures <= 1 ? 0
			     : min_of((int64_t)BACKOFF_MAX_MS,
				       (int64_t)BACKOFF_FIRST_MS << min_of(failures - 2, 5u));
}

/* ---- stopping ---- */

static void stop_next(struct supervisor *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct child *c = &s->children[i];

		if (c->pid && !c->stop_asked) {
			c->stop_asked = true;
			kill(c->pid, SIGTERM);
			loop_timer_in(&s->stop_limit, STOP_MAX_MS);
		}
		if (c->pid) {
			return;
		}
	}
	loop_timer_stop(&s->stop_limit);
	s->setup.on_stopped(s->setup.arg);
}

static void on_stop_limit(void *arg)
{
	struct supervisor *s = arg;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct child *c = &s->children[i];

		if (c->pid && c->stop_asked) {
			log_warning("killed", "daemon=%s pid=%d after_ms=%d", c->row->name,
				(int)c->pid, STOP_MAX_MS);
			kill(c->pid, SIGKILL);
		}
	}
}

void supervisor_stop(struct supervisor *s, bool hard)
{
	bool first = !s->stopping;

	s->stopping = true;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		loop_timer_stop(&s->children[i].again);
		if (hard && s->children[i].pid) {
			s->children[i].stop_asked = true;
			kill(s->children[i].pid, SIGKILL);
		}
	}
	if (first) {
		stop_next(s);
	}
}

/* ---- watching ---- */

static void child_ended(struct supervisor *s, struct child *c, int status)
{
	int64_t life_ms = mono_diff_ms(clock_mono(), c->started), wait_ms;
	/* One that served and was told to go must not be missed longer than it takes to start. */
	bool orderly = c->ready && life_ms >= LIFE_SERVED_MS && WIFEXITED(status) &&
		       WEXITSTATUS(status) == 0;

	c->pid = 0;
	c->ready = false;
	c->last_status = status;
	if (s->stopping) {
		stop_next(s);
		return;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == DAEMON_GIVEN_UP) {
		log_error("given-up", "daemon=%s", c->row->name);
		s->setup.on_given_up(s->setup.arg);
		return;
	}
	c->failures = orderly || life_ms >= LIFE_GOOD_MS ? 1 : c->failures + 1;
	c->restarts++;
	wait_ms = backoff_ms(c->failures);
	log_warning("daemon-ended", "daemon=%s %s=%d after_ms=%lld restart_in_ms=%lld",
		c->row->name, WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (long long)life_ms,
		(long long)wait_ms);
	loop_timer_in(&c->again, wait_ms);
}

static void on_child(void *arg)
{
	struct supervisor *s = arg;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct child *c = &s->children[i];
		int status;

		if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid) {
			child_ended(s, c, status);
		}
	}
}

static void ready_note(struct supervisor *s, pid_t pid)
{
	bool all = true;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct child *c = &s->children[i];

		if (c->pid == pid) {
			c->ready = true;
		}
		all = all && (!c->wanted || c->ready);
	}
	if (all && !s->ready_told) {
		s->ready_told = true;
		s->setup.on_ready(s->setup.arg);
	}
}

/* One datagram of sd_notify's; who sent it stands in the credentials. */
static void on_notify(void *arg, int events)
{
	struct supervisor *s = arg;
	char text[512], control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = { text, sizeof(text) };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(s->notify_fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS &&
		str_find_str(str_n(text, (size_t)n), STR("READY=1")) >= 0) {
		ready_note(s, ((const struct ucred *)CMSG_DATA(c))->pid);
	}
}

/* The socket lies in the run directory; where its path is too long for sockaddr_un, it is reached
 * through our descriptor of it. */
static int notify_open(struct supervisor *s)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int one = 1,
	    n = snprintf(s->notify_path, sizeof(s->notify_path), "%s/notify", s->setup.run_dir);

	if (n >= (int)sizeof(un.sun_path)) {
		snprintf(s->notify_path, sizeof(s->notify_path), "/proc/%d/fd/%d/notify",
			(int)getpid(), s->run_fd);
	}
	memcpy(un.sun_path, s->notify_path,
		min_of(sizeof(un.sun_path), strlen(s->notify_path) + 1));
	s->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->notify_fd < 0) {
		return err_errno("socket");
	}
	unlink(s->notify_path);
	if (bind(s->notify_fd, (struct sockaddr *)&un, sizeof(un)) ||
		setsockopt(s->notify_fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one))) {
		return err_errno("bind %s", s->notify_path);
	}
	loop_io_init(&s->notify_io, s->setup.loop, s->notify_fd, on_notify, s);
	loop_io_set(&s->notify_io, LOOP_READ);
	return 0;
}

int supervisor_new(const struct supervisor_setup *setup, struct supervisor **out)
{
	struct supervisor *s = xcalloc(1, sizeof(*s));
	int r;

	*out = s;
	s->setup = *setup;
	s->notify_fd = -1;
	s->pid = getpid();
	s->run_fd = open(setup->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	loop_timer_init(&s->stop_limit, setup->loop, on_stop_limit, s);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct child *c = &s->children[i];

		*c = (struct child) { .supervisor = s, .row = &rows[i] };
		c->wanted = setup->server || !rows[i].server_only;
		loop_timer_init(&c->again, setup->loop, on_again, c);
		c->program = program_path(setup->daemon_dir, rows[i].name);
		if (!c->program) {
			return err_new(-ENOENT, "muster-%s", rows[i].name);
		}
	}
	loop_signal_start(&s->on_child, setup->loop, SIGCHLD, on_child, s);
	r = notify_open(s);
	return r;
}

void supervisor_start(struct supervisor *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (s->children[i].wanted) {
			child_start(&s->children[i]);
		}
	}
}

void supervisor_signal(struct supervisor *s, int signal)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (s->children[i].pid) {
			kill(s->children[i].pid, signal);
		}
	}
}

void supervisor_render(const struct supervisor *s, struct jsonw *w)
{
	jsonw_keyc(w, "daemons");
	jsonw_open(w, '[');
	for (size_t i = ARRAY_SIZE(rows); i-- > 0;) {
		const struct child *c = &s->children[i];

		if (!c->wanted) {
			continue;
		}
		jsonw_open(w, '{');
		jsonw_put_cstr(w, "name", c->row->name);
		jsonw_put_i64(w, "pid", c->pid);
		jsonw_put_bool(w, "ready", c->ready);
		jsonw_put_u64(w, "restarts", c->restarts);
		jsonw_close(w, '}');
	}
	jsonw_close(w, ']');
}

void supervisor_free(struct supervisor *s)
{
	loop_timer_stop(&s->stop_limit);
	loop_signal_stop(&s->on_child);
	if (s->notify_fd >= 0) {
		loop_io_set(&s->notify_io, 0);
		close(s->notify_fd);
		unlink(s->notify_path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		loop_timer_stop(&s->children[i].again);
		free(s->children[i].program);
	}
	if (s->run_fd >= 0) {
		close(s->run_fd);
	}
	free(s);
}
