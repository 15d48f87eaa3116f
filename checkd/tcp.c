/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP checks: passing when a connection comes about.
 */
#include <unistd.h>

#include "checkd/connect.h"
#include "checkd/run.h"

struct tcp {
	struct run *run;
	struct connect *connect;
	struct loop_timer timeout;
};

static void tcp_stop(struct run *run)
{
	struct tcp *t = take(run->impl);

	run->stop = NULL;
	loop_timer_stop(&t->timeout);
	if (t->connect) {
		connect_free(t->connect);
	}
	free(t);
}

static void on_connected(void *arg, int fd, struct str error)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct tcp *t = arg;
	struct run *run = t->run;

	t->connect = NULL; /* gone behind this call */
	if (fd >= 0) {
		close(fd);
		buf_printf(&text, "TCP connect " STR_FMT ": Success", STR_ARG(run->def->tcp));
		run_done(run, CHECK_PASSING, buf_str(&text));
	} else {
		run_done(run, CHECK_CRITICAL, error);
	}
	tcp_stop(run);
}

static void on_timeout(void *arg)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct tcp *t = arg;
	struct run *run = t->run;

	connect_late_text(t->connect, &text);
	run_done(run, CHECK_CRITICAL, buf_str(&text));
	tcp_stop(run);
}

void tcp_start(struct run *run)
{
	struct tcp *t = xcalloc(1, sizeof(*t));

	t->run = run;
	run->impl = t;
	run->stop = tcp_stop;
	loop_timer_init(&t->timeout, run->loop, on_timeout, t);
	loop_timer_in(&t->timeout, run->timeout_ms);
	t->connect = connect_new(run->loop, run->def->tcp, on_connected, t);
}
