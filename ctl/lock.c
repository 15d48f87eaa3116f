/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster lock: runs a program while it holds a lock, or a place of a semaphore.
 */
#include "ctl/lock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/process.h"
#include "ctl/child.h"
#include "ctl/commands.h"

struct lock_flags {
	bool child_exit_code, pass_stdin, shell;
	int64_t monitor_retry, timeout_ns;
	const char *name;
	char **words; /* of the child */
	int words_count;
};

/* ---- acquiring ---- */

/* 0, ST_INVALID, or ST_AGAIN: not within its time, or a signal came. */
static int acquire(struct locker *l, int64_t timeout_ms)
{
	struct mono begin = clock_mono();
	int64_t wait_ms = timeout_ms ? timeout_ms : LOCK_WAIT_MS;
	int r;

	for (unsigned attempts = 0;; attempts++) {
		if (timeout_ms && attempts) {
			wait_ms = timeout_ms - mono_diff_ms(clock_mono(), begin);
			if (wait_ms < 0) {
				return ST_AGAIN;
			}
		}
		r = l->kind->attempt(l, wait_ms);
		if (r == ST_FULL) {
			int64_t pause_ms =
				timeout_ms ? min_of(wait_ms, LOCK_PAUSE_MS) : LOCK_PAUSE_MS;

			if (signal_is_end(signals_next(l->signals, pause_ms))) {
				return ST_AGAIN;
			}
		} else if (r != ST_CONFLICT) {
			return r;
		}
	}
}

/* ---- holding ---- */

enum hold_end { HOLD_CHILD_ENDED, HOLD_LOST, HOLD_STOPPED };

static enum hold_end hold(struct locker *l, pid_t pid, int64_t retries_max, int *status_out)
{
	int64_t retries = retries_max;
	int r, number;

	l->index = 0;
	while (!child_ended(pid, status_out)) {
		r = l->kind->check(l);
		if (r == ST_CONFLICT || (r == ST_INVALID && retries-- <= 0)) {
			return HOLD_LOST;
		}
		if (r == 0) {
			retries = retries_max;
			continue;
		}
		number = signals_next(l->signals, r == ST_INVALID ? LOCK_RETRY_MS : 0);
		if (signal_is_end(number)) {
			kill(pid, number);
			return HOLD_STOPPED;
		}
		if (r == ST_INVALID) { /* asked without waiting, to see that it is over */
			l->index = 0;
		}
	}
	return HOLD_CHILD_ENDED;
}

static void child_kill(struct locker *l, pid_t pid)
{
	struct mono deadline = mono_add_ms(clock_mono(), LOCK_GRACE_MS);
	int status;

	ctl_tell(l->verbose, "Terminating child pid %d", (int)pid);
	kill(pid, SIGTERM);
	while (!child_ended(pid, &status)) {
		int64_t left_ms = mono_diff_ms(deadline, clock_mono());

		if (left_ms <= 0) {
			ctl_tell(l->verbose, "Child did not exit after grace period of 5s");
			ctl_tell(l->verbose, "Killing child pid %d", (int)pid);
			kill(pid, SIGKILL);
			left_ms = LOCK_GRACE_MS;
			deadline = mono_add_ms(clock_mono(), left_ms);
		}
		(void)signals_next(l->signals, left_ms);
	}
	ctl_tell(l->verbose, "Child terminated");
}

static int child_run(struct locker *l, const struct lock_flags *f)
{
	static const char *const stories[] = {
		[HOLD_CHILD_ENDED] = "Child terminated, releasing lock",
		[HOLD_LOST] = "Lock lost, killing child",
		[HOLD_STOPPED] = "Shutdown triggered, killing child",
	};
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN_FD int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct child_request q = { .shell = f->shell,
		.words = f->words,
		.words_count = f->words_count,
		.variable = "CONSUL_LOCK_HELD",
		.value = "true",
		.input = f->pass_stdin ? STDIN_FILENO : null };
	enum hold_end end;
	int status = 0;
	pid_t pid;

	ctl_tell(l->verbose, "Starting handler");
	if (f->pass_stdin) {
		ctl_tell(l->verbose, "Stdin passed to handler process");
	}
	fflush(stdout);
	if (child_start(&q, &pid, &why)) {
		ctl_fail("Error starting handler: %s", buf_cstr(&why));
		ctl_tell(l->verbose, "%s", stories[HOLD_CHILD_ENDED]);
		return 2;
	}
	end = hold(l, pid, f->monitor_retry, &status);
	if (end == HOLD_CHILD_ENDED) {
		process_render_end(&why, status);
		if (why.n) {
			ctl_fail("Error running handler: %s", buf_cstr(&why));
		}
		ctl_tell(l->verbose, "%s", stories[end]);
		return why.n ? 2 : 0;
	}
	ctl_tell(l->verbose, "%s", stories[end]);
	child_kill(l, pid);
	return 0;
}

/* ---- the whole ---- */

static int let_go(struct locker *l)
{
	int r;

	l->api.wake_fd = 0; /* nothing may keep us from it */
	r = l->kind->release(l);
	lock_session_close(l);
	if (r) {
		return ctl_fail("Lock release failed: %s", api_error(&l->api));
	}
	r = l->kind->cleanup(l);
	if (r == ST_CONFLICT) {
		ctl_tell(l->verbose, "Cleanup aborted, lock in use");
	} else if (r) {
		return ctl_fail("Lock cleanup failed: %s", api_error(&l->api));
	} else {
		ctl_tell(l->verbose, "Cleanup succeeded");
	}
	return 0;
}

static int not_acquired(struct locker *l, int r)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

	buf_put_cstr(&why, api_error(&l->api));
	l->api.wake_fd = 0;
	lock_session_close(l);
	return r == ST_AGAIN ? ctl_fail("Shutdown triggered or timeout during lock acquisition")
			     : ctl_fail("Lock acquisition failed: %s", buf_cstr(&why));
}

static int run(struct locker *l, const struct lock_flags *f)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	const struct json *self;
	int r, code = 0;

	buf_put_lit(&path, "/v1/agent/self");
	if (api_get(&l->api, &path, &self)) {
		return ctl_fail("Error querying Consul agent: %s", api_error(&l->api));
	}
	if (l->kind->semaphore) {
		ctl_tell(l->verbose, "Setting up semaphore (limit %lld) at prefix: %s",
			(long long)l->limit, buf_cstr(&l->prefix));
	} else {
		ctl_tell(l->verbose, "Setting up lock at path: %s", buf_cstr(&l->key));
	}
	ctl_tell(l->verbose, "Attempting lock acquisition");
	l->signals = signals_open();
	r = lock_session_open(l);
	l->api.wake_fd = l->signals;
	r = r ? r : acquire(l, (f->timeout_ns + NS_PER_MS - 1) / NS_PER_MS);
	if (r) {
		return not_acquired(l, r);
	}
	if (signal_is_end(signals_next(l->signals, 0))) {
		ctl_fail("Shutdown triggered during lock acquisition");
	} else {
		code = child_run(l, f);
	}
	r = let_go(l);
	return r ? r : f->child_exit_code ? code : 0;
}

/* Consul's words: for the one who looks at the sessions. */
static void name_make(const struct lock_flags *f, const char *prefix, struct buf *out)
{
	if (f->name && f->name[0]) {
		buf_put_cstr(out, f->name);
		return;
	}
	buf_put_lit(out, "Consul lock for '");
	for (int i = 0; i < f->words_count; i++) {
		buf_printf(out, "%s%s", i ? " " : "", f->words[i]);
	}
	buf_printf(out, "' at '%s'", prefix);
}

static int check(const struct lock_flags *f, const struct locker *l, int count)
{
	if (l->limit <= 0) {
		return ctl_fail("Lock holder limit must be positive");
	}
	if (count < 2) {
		return ctl_fail("Key prefix and child command must be specified");
	}
	if (f->timeout_ns < 0) {
		return ctl_fail("Timeout must be positive");
	}
	if (f->monitor_retry < 0) {
		return ctl_fail("Number for 'monitor-retry' must be >= 0");
	}
	return 0;
}

static void flags_add(struct flagset *set, struct lock_flags *f, struct locker *l)
{
	flag_add(set, "child-exit-code", FLAG_BOOL, &f->child_exit_code,
		"End with status 2 when the program failed.");
	flag_add(set, "n", FLAG_INT, &l->limit,
		"How many may hold it at once; more than one makes it a semaphore.");
	flag_add(set, "monitor-retry", FLAG_INT, &f->monitor_retry,
		"How often an error while the lock is watched is borne, a second each, before it "
		"counts as lost.");
	flag_add(set, "name", FLAG_TEXT, &f->name, "Name of the session.");
	flag_add(set, "pass-stdin", FLAG_BOOL, &f->pass_stdin, "Give the program our stdin.");
	flag_add(set, "shell", FLAG_BOOL, &f->shell,
		"Have a shell ($SHELL, else /bin/sh) run the program.");
	flag_add(set, "timeout", FLAG_DURATION, &f->timeout_ns,
		"How long to wait for the lock; without it: for ever.");
	flag_add(set, "try", FLAG_DURATION, &f->timeout_ns, "The older name of -timeout.");
	flag_add(set, "verbose", FLAG_BOOL, &l->verbose, "Say what happens.");
}

int lock_run(struct ctl *c, int argc, char **argv)
{
	struct lock_flags f = { .shell = true, .monitor_retry = 3 };
	OWN_EMBEDDED(buf_fini) struct buf name = { 0 };
	struct locker l = { .limit = 1 };
	struct flagset set = { 0 };
	int at, status;

	flags_add(&set, &f, &l);
	at = api_begin(c, &l.api, &set, true, "lock [options] prefix child...",
		"Runs a program while it holds a lock. When the lock is lost the program is sent "
		"SIGTERM, and killed five seconds later.",
		argc, argv);
	if (at < 0) {
		status = -1 - at;
	} else if (check(&f, &l, argc - at)) {
		status = 1;
	} else {
		const char *prefix = argv[at][0] == '/' ? argv[at] + 1 : argv[at];

		f.words = argv + at + 1;
		f.words_count = argc - at - 1;
		path_join(&l.prefix, str_of(prefix));
		buf_put_str(&l.key, buf_str(&l.prefix));
		path_join(&l.key, STR(LOCK_KEY_NAME));
		name_make(&f, prefix, &name);
		l.name = buf_cstr(&name);
		l.kind = l.limit > 1 ? &lock_semaphore : &lock_key;
		status = run(&l, &f);
	}
	buf_fini(&l.prefix);
	buf_fini(&l.key);
	api_fini(&l.api);
	return status;
}
