/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sys/ipc: nothing is lost for good. A client that does not read for a while gets every
 * answer, and calls to a server that is killed again and again, at any point, are all answered once
 * it stays. Both before the client's repeats of the unforeseen would begin.
 */
#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "common/sys/ipc.h"

enum {
	CALLS = 20000,
	IDLE_TURNS_MAX = 1500 /* of 1 ms; calls are asked again after 3 s */,
	ANSWER_BYTES = 300,
	LARGE_BYTES = 20 << 20,
	KILLING_MS = 3000,
	FLYING = 40
};

static void directory_enter(char dir[64])
{
	strcpy(dir, "/tmp/muster-ipc-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static void directory_leave(const char *dir)
{
	unlink("endpoint");
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* ---- a client that does not read ---- */

struct slow_world {
	struct loop *near, *far; /* the client's and the server's, turned by hand */
	struct loop_timer near_pace, far_pace;
	struct ipc_server *server;
	struct ipc_client *client;
	struct ipc_call *held[CALLS];
	int held_count, answers, asked, repeats;
	size_t bytes;
	char dir[64];
};

static void handle_hold(void *owner, struct ipc_call *call, struct str payload)
{
	struct slow_world *w = owner;

	if (w->held_count == w->asked) {
		w->repeats++;
		ipc_reply(call, STR_NONE);
	} else {
		w->held[w->held_count++] = call;
	}
}

static const struct ipc_handler holding[] = { { MSG_catalog_watch, ROLE_READ, handle_hold } };

static void on_pace(void *arg)
{
}

static void turn(struct loop *loop, struct loop_timer *pace, int64_t ms)
{
	loop_timer_in(pace, ms);
	loop_run_once(loop);
}

static void slow_world_init(struct slow_world *w)
{
	*w = (struct slow_world) { .near = loop_new(), .far = loop_new() };
	directory_enter(w->dir);
	loop_timer_init(&w->near_pace, w->near, on_pace, w);
	loop_timer_init(&w->far_pace, w->far, on_pace, w);
	ck_assert_int_eq(
		ipc_server_new(w->far, "endpoint", ROLE_READ, holding, 1, w, &w->server), 0);
	ck_assert_int_eq(ipc_client_new(w->near, "endpoint", &w->client), 0);
}

static void slow_world_fini(struct slow_world *w)
{
	ipc_client_free(w->client);
	ipc_server_free(w->server);
	loop_timer_stop(&w->near_pace);
	loop_timer_stop(&w->far_pace);
	loop_free(w->near);
	loop_free(w->far);
	directory_leave(w->dir);
}

static void on_answer(void *arg, int status, struct str payload)
{
	struct slow_world *w = arg;

	ck_assert_int_eq(status, 0);
	w->answers++;
	w->bytes += payload.n;
}

static void ask(struct slow_world *w, int count)
{
	w->asked = count;
	for (int i = 0; i < count; i++) {
		ipc_call(w->client, MSG_catalog_watch, STR_NONE, 600000, on_answer, w);
	}
	while (w->held_count < count) {
		turn(w->near, &w->near_pace, 0);
		turn(w->far, &w->far_pace, 0);
	}
}

static void answer(struct slow_world *w, int number, size_t size)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };

	memset(buf_reserve(&bytes, size), 'x', size);
	bytes.n = size;
	ipc_reply(w->held[number], buf_str(&bytes));
	turn(w->far, &w->far_pace, 0);
}

static void all_answered(struct slow_world *w)
{
	int idle = 0, before;

	while (w->answers < w->asked) {
		before = w->answers;
		turn(w->near, &w->near_pace, 0);
		turn(w->far, &w->far_pace, 1);
		idle = w->answers == before ? idle + 1 : 0;
		ck_assert_int_lt(idle, IDLE_TURNS_MAX);
	}
}

/* nanomsg drops what a socket for answers sends to a peer whose buffer is full. */
TEST(test_many_answers_to_a_client_that_does_not_read)
{
	struct slow_world w;

	slow_world_init(&w);
	ask(&w, CALLS);
	for (int i = 0; i < CALLS; i++) {
		answer(&w, i, ANSWER_BYTES);
	}
	all_answered(&w);
	ck_assert(w.repeats || w.bytes == (size_t)CALLS * ANSWER_BYTES);
	slow_world_fini(&w);
}
END_TEST

TEST(test_small_answers_behind_a_large_one)
{
	struct slow_world w;

	slow_world_init(&w);
	ask(&w, 10);
	for (int i = 0; i < 10; i++) {
		answer(&w, i, i % 5 == 0 ? LARGE_BYTES : 10);
	}
	all_answered(&w);
	ck_assert(w.repeats || w.bytes == 2 * LARGE_BYTES + 8 * 10);
	slow_world_fini(&w);
}
END_TEST

/* ---- a server that is killed ---- */

enum { ALIVE_US_MAX = 150000 };

static const uint8_t delays_ms[] = { 0, 0, 1, 5, 20, 250 };

struct delayed {
	struct loop_timer timer;
	struct ipc_call *call;
};

static void on_delayed(void *arg)
{
	struct delayed *d = arg;

	ipc_reply(d->call, STR("x"));
	free(d);
}

/* Answers after as many milliseconds as the payload's byte says. */
static void handle_delay(void *owner, struct ipc_call *call, struct str payload)
{
	struct delayed *d;

	if (payload.p[0] == 0) {
		ipc_reply(call, STR("x"));
		return;
	}
	d = xcalloc(1, sizeof(*d));
	d->call = call;
	loop_timer_init(&d->timer, owner, on_delayed, d);
	loop_timer_in(&d->timer, (uint8_t)payload.p[0]);
}

static const struct ipc_handler delaying[] = { { MSG_catalog_watch, ROLE_READ, handle_delay } };

static pid_t child_fork(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	return pid;
}

static _Noreturn void server_run(void)
{
	struct loop *loop = loop_new();
	struct ipc_server *server;

	if (ipc_server_new(loop, "endpoint", ROLE_READ, delaying, 1, loop, &server) == 0) {
		loop_run(loop);
	}
	_exit(1);
}

/* Starts servers and kills them; then one that stays, which it tells through the pipe. A process of
 * its own, forked before nanomsg is used, since nanomsg must not be forked. */
static _Noreturn void servers_run(int fd)
{
	struct mono until = mono_add_ms(clock_mono(), KILLING_MS);

	while (mono_before(clock_mono(), until)) {
		pid_t pid = child_fork();

		if (pid == 0) {
			server_run();
		}
		usleep((useconds_t)(random_u64() % ALIVE_US_MAX >> random_u64() % 4));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	if (write(fd, "", 1) == 1) {
		server_run();
	}
	_exit(1);
}

struct killed_world {
	struct loop *loop;
	struct loop_timer pace;
	struct loop_io stays;
	struct ipc_client *client;
	int asked, answers;
	bool ending;
	char dir[64];
};

static void on_late_answer(void *arg, int status, struct str payload);

static void late_ask(struct killed_world *w)
{
	uint8_t delay = delays_ms[random_u64() % ARRAY_SIZE(delays_ms)];

	w->asked++;
	ipc_call(w->client, MSG_catalog_watch, str_n(&delay, 1), 600000, on_late_answer, w);
}

static void on_late_answer(void *arg, int status, struct str payload)
{
	struct killed_world *w = arg;

	ck_assert_int_eq(status, 0);
	ck_str_is(payload, "x");
	w->answers++;
	if (!w->ending) {
		late_ask(w);
	}
}

static void on_stays(void *arg, int events)
{
	struct killed_world *w = arg;

	w->ending = true;
	loop_io_set(&w->stays, 0);
}

TEST(test_server_killed_at_any_point)
{
	struct killed_world w = { 0 };
	int fds[2], idle = 0;
	pid_t servers;

	directory_enter(w.dir);
	ck_assert_int_eq(pipe(fds), 0);
	servers = child_fork();
	if (servers == 0) {
		servers_run(fds[1]);
	}
	w.loop = loop_new();
	loop_timer_init(&w.pace, w.loop, on_pace, &w);
	loop_io_init(&w.stays, w.loop, fds[0], on_stays, &w);
	loop_io_set(&w.stays, LOOP_READ);
	ck_assert_int_eq(ipc_client_new(w.loop, "endpoint", &w.client), 0);
	for (int i = 0; i < FLYING; i++) {
		late_ask(&w);
	}
	while (!w.ending || w.answers < w.asked) {
		int before = w.answers;

		turn(w.loop, &w.pace, 1);
		idle = !w.ending || w.answers != before ? 0 : idle + 1;
		ck_assert_int_lt(idle, IDLE_TURNS_MAX);
	}
	ck_assert_int_ge(w.answers, FLYING);
	ipc_client_free(w.client);
	kill(servers, SIGKILL);
	waitpid(servers, NULL, 0);
	loop_timer_stop(&w.pace);
	loop_free(w.loop);
	close(fds[0]);
	close(fds[1]);
	directory_leave(w.dir);
}
END_TEST

UNIT_MAIN("ipc_loss", test_many_answers_to_a_client_that_does_not_read,
	test_small_answers_behind_a_large_one, test_server_killed_at_any_point)
