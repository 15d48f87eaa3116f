/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/client/api: requests to httpd, which is played by hand.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <unistd.h>

#include "common/client/api.h"
#include "common/sys/net.h"

struct world {
	struct loop *loop;
	struct api *api;
	int listener, peer;
	struct loop_timer tick, limit;
	bool late;
	unsigned done;
	uint64_t number;
	int status;
	char request[4096];
};

static void on_done(void *arg, uint64_t number, int status, uint64_t index, struct str body)
{
	struct world *w = arg;

	w->done++;
	w->number = number;
	w->status = status;
}

static void on_tick(void *arg)
{
}

static void on_limit(void *arg)
{
	((struct world *)arg)->late = true;
}

static void world_init(struct world *w, unsigned connections_max)
{
	char dir[] = "/tmp/muster-api-XXXXXX";
	struct net_address address;

	*w = (struct world) { .loop = loop_new(), .peer = -1 };
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(net_address_parse(STR("unix://s"), 0, &address), 0);
	w->listener = net_listen(&address, SOCK_STREAM, 8);
	ck_assert_int_ge(w->listener, 0);
	w->api = api_new(w->loop, "s", connections_max, on_done, w);
	loop_timer_init(&w->tick, w->loop, on_tick, w);
	loop_timer_init(&w->limit, w->loop, on_limit, w);
	loop_timer_in(&w->limit, 10000);
}

static void world_fini(struct world *w)
{
	char dir[64];

	api_free(w->api);
	loop_timer_stop(&w->tick);
	loop_timer_stop(&w->limit);
	loop_free(w->loop);
	close(w->listener);
	close(w->peer);
	ck_assert_ptr_nonnull(getcwd(dir, sizeof(dir)));
	ck_assert_int_eq(unlink("s"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* One turn that waits no longer than a millisecond. */
static void turn(struct world *w)
{
	ck_assert(!w->late);
	loop_timer_in(&w->tick, 1);
	loop_run_once(w->loop);
}

static void ask(struct world *w, uint64_t number)
{
	char path[32];
	struct api_request q = { .number = number, .timeout_ms = API_TIMEOUT_MS };

	snprintf(path, sizeof(path), "/%d", (int)number);
	q.path = str_of(path);
	api_send(w->api, &q);
}

/* httpd has this request before it, on a new connection or on that of the last one. */
static void is_asked(struct world *w, const char *path, bool anew)
{
	char expected[64];
	ssize_t n;

	if (anew) {
		close(w->peer);
		while ((w->peer = accept(w->listener, NULL, NULL)) < 0) {
			turn(w);
		}
	}
	do {
		turn(w);
		n = recv(w->peer, w->request, sizeof(w->request) - 1, MSG_DONTWAIT);
	} while (n < 0 && errno == EAGAIN);
	ck_assert_int_gt(n, 0);
	w->request[n] = 0;
	snprintf(expected, sizeof(expected), "GET %s HTTP/1.1\r\n", path);
	ck_assert_ptr_eq(strstr(w->request, expected), w->request);
}

static void answer(struct world *w)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

	ck_assert_int_eq(send(w->peer, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
}

static void is_done(struct world *w, uint64_t number, int status)
{
	unsigned before = (unsigned)number - 1;

	while (w->done == before) {
		turn(w);
	}
	ck_assert_uint_eq(w->done, number);
	ck_assert_uint_eq(w->number, number);
	ck_assert_int_eq(w->status, status);
}

TEST(a_connection_is_used_again)
{
	struct world w;

	world_init(&w, 1);
	for (uint64_t i = 1; i <= 3; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/%d", (int)i);
		ask(&w, i);
		ck_assert_uint_eq(w.done, i - 1);
		is_asked(&w, path, i == 1);
		answer(&w);
		is_done(&w, i, 200);
		ck_assert(api_reachable(w.api));
	}
	world_fini(&w);
}
END_TEST

/* It ends while the next request is on its way: that is sent once more, on a new one. */
TEST(a_connection_that_has_ended)
{
	struct world w;

	world_init(&w, 1);
	ask(&w, 1);
	is_asked(&w, "/1", true);
	answer(&w);
	is_done(&w, 1, 200);
	ask(&w, 2); /* and nobody reads it */
	is_asked(&w, "/2", true);
	ck_assert(api_reachable(w.api));
	answer(&w);
	is_done(&w, 2, 200);
	/* one that has not answered anything is httpd's way to say no */
	ask(&w, 3);
	is_asked(&w, "/3", true);
	close(take_fd(&w.peer));
	is_done(&w, 3, 0);
	ck_assert(!api_reachable(w.api));
	world_fini(&w);
}
END_TEST

TEST(who_waits_is_next_when_another_is_cancelled)
{
	struct world w;

	world_init(&w, 1);
	ask(&w, 7);
	is_asked(&w, "/7", true);
	ask(&w, 1);
	ck_assert(api_cancel(w.api, 7));
	ck_assert(!api_cancel(w.api, 7));
	is_asked(&w, "/1", true);
	answer(&w);
	is_done(&w, 1, 200);
	world_fini(&w);
}
END_TEST

UNIT_MAIN("api", a_connection_is_used_again, a_connection_that_has_ended,
	who_waits_is_next_when_another_is_cancelled)
