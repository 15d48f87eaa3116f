/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sys/http_link: requests out of memory and out of a file, answers that come early, late, in
 * part or not at all. The other side is played by hand.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/sys/http_link.h"

enum { LARGE = 3 << 20 };

struct world {
	struct loop *loop;
	struct http_link link;
	struct loop_timer limit;
	int listener, peer;
	struct buf body, fields;
	int progress, answered, lost, last_error;
	char dir[32];
	bool late;
};

static void on_field(void *arg, struct str name, struct str value)
{
	struct world *w = arg;

	buf_printf(&w->fields, STR_FMT "=" STR_FMT ";", STR_ARG(name), STR_ARG(value));
}

static void on_body(void *arg, struct str piece)
{
	buf_put_str(&((struct world *)arg)->body, piece);
}

static void on_progress(void *arg)
{
	((struct world *)arg)->progress++;
}

static void on_answered(void *arg)
{
	((struct world *)arg)->answered++;
}

static void on_lost(void *arg, int error)
{
	struct world *w = arg;

	w->lost++;
	w->last_error = error;
}

static const struct http_link_events events = { on_field, on_body, on_progress, on_answered,
	on_lost };

static void on_limit(void *arg)
{
	((struct world *)arg)->late = true;
}

static void world_init(struct world *w)
{
	struct net_address address;

	*w = (struct world) { .loop = loop_new(), .peer = -1 };
	strcpy(w->dir, "/tmp/muster-link-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(w->dir));
	ck_assert_int_eq(chdir(w->dir), 0);
	ck_assert_int_eq(net_address_parse(STR("unix://s"), 0, &address), 0);
	w->listener = net_listen(&address, SOCK_STREAM, 8);
	ck_assert_int_ge(w->listener, 0);
	ck_assert_int_eq(http_link_open(&w->link, w->loop, &address, &events, w), 0);
	w->peer = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK);
	ck_assert_int_ge(w->peer, 0);
	loop_timer_init(&w->limit, w->loop, on_limit, w);
	loop_timer_in(&w->limit, 20000);
}

static void world_fini(struct world *w)
{
	http_link_close(&w->link);
	loop_timer_stop(&w->limit);
	close(w->listener);
	close(w->peer);
	buf_fini(&w->body);
	buf_fini(&w->fields);
	loop_free(w->loop);
}

static void on_tick(void *arg)
{
}

/* One turn that waits no longer than a millisecond. */
static void loop_tick(struct world *w)
{
	struct loop_timer tick;

	loop_timer_init(&tick, w->loop, on_tick, w);
	loop_timer_in(&tick, 1);
	loop_run_once(w->loop);
	loop_timer_stop(&tick);
}

/* Turns the loop and takes what the link sends until the condition holds. */
#define UNTIL(w, received, condition)                                         \
	do {                                                                  \
		while (!(condition)) {                                        \
			char bytes_[4096];                                    \
			ssize_t n_ = read((w)->peer, bytes_, sizeof(bytes_)); \
                                                                              \
			ck_assert_msg(!(w)->late, "never: " #condition);      \
			buf_put((received), bytes_, n_ > 0 ? (size_t)n_ : 0); \
			if (n_ <= 0) {                                        \
				loop_tick(w);                                 \
			}                                                     \
		}                                                             \
	} while (0)

static void say(struct world *w, const char *text)
{
	ck_assert_int_eq(write(w->peer, text, strlen(text)), (ssize_t)strlen(text));
}

TEST(test_one_after_the_other)
{
	OWN_EMBEDDED(world_fini) struct world w;
	OWN_EMBEDDED(buf_fini) struct buf got = { 0 };

	world_init(&w);
	http_link_ask(&w.link, STR("GET / HTTP/1.1\r\n\r\n"), false);
	ck_assert(http_link_reached(&w.link));
	UNTIL(&w, &got, got.n == 18);
	say(&w, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A:  b \r\n\r\nab");
	UNTIL(&w, &got, w.progress == 1);
	ck_assert(w.link.spoken && !w.answered);
	say(&w, "cd");
	UNTIL(&w, &got, w.answered == 1);
	ck_buf_is(&w.body, "abcd");
	ck_buf_is(&w.fields, "Content-Length=4;X-A=b;");
	ck_assert_uint_eq(w.link.response.length, 4);
	ck_assert(http_link_kept(&w.link));

	http_link_ask(&w.link, STR("HEAD / HTTP/1.1\r\n\r\n"), true);
	ck_assert(!w.link.spoken);
	say(&w, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nConnection: close\r\n\r\n");
	UNTIL(&w, &got, w.answered == 2);
	ck_assert_int_eq(w.link.response.status, 404);
	ck_assert(!http_link_kept(&w.link));
	close(w.peer);
	w.peer = -1;
	UNTIL(&w, &got, w.lost == 1); /* also while nobody asks */
	ck_assert_int_eq(w.last_error, 0);
}

TEST(test_file)
{
	OWN_EMBEDDED(world_fini) struct world w;
	OWN_EMBEDDED(buf_fini) struct buf got = { 0 }, bytes = { 0 };
	OWN_FD int file = -1;

	world_init(&w);
	for (int i = 0; i < LARGE / 4; i++) {
		buf_put_u32(&bytes, (uint32_t)i * 2654435761u);
	}
	file = open("f", O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(write(file, bytes.p, bytes.n), (ssize_t)bytes.n);
	for (int round = 1; round <= 2; round++) { /* from its beginning each time */
		buf_clear(&got);
		http_link_ask_file(&w.link, STR("head"), file, bytes.n);
		UNTIL(&w, &got, got.n == bytes.n + 4);
		ck_assert_int_eq(memcmp(got.p, "head", 4), 0);
		ck_assert_int_eq(memcmp(got.p + 4, bytes.p, bytes.n), 0);
		say(&w, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		UNTIL(&w, &got, w.answered == round);
		ck_assert(http_link_kept(&w.link));
	}
	http_link_ask_file(&w.link, STR("head"), file, bytes.n + 1);
	UNTIL(&w, &got, w.lost == 1); /* shorter than it was said to be */
}

TEST(test_early_answer)
{
	OWN_EMBEDDED(world_fini) struct world w;
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };

	world_init(&w);
	buf_reserve(&bytes, LARGE);
	memset(bytes.p, 'x', LARGE);
	bytes.n = LARGE;
	http_link_ask(&w.link, buf_str(&bytes), false);
	say(&w, "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 2\r\n\r\nno");
	while (!w.answered) {
		loop_tick(&w);
	}
	ck_buf_is(&w.body, "no");
	ck_assert(!http_link_kept(&w.link)); /* the rest was never said */
}

TEST(test_broken)
{
	static const struct {
		const char *said;
		int lost, answered;
	} rows[] = {
		{ "", 1, 0 },
		{ "HTTP/1.1 200 OK\r\nContent-Le", 1, 0 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", 1, 0 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", 1, 0 },
		{ "no HTTP at all\r\n\r\n", 1, 0 },
		{ "HTTP/1.1 200 OK\r\n\r\nuntil its end", 0, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(world_fini) struct world w;
		OWN_EMBEDDED(buf_fini) struct buf got = { 0 };

		world_init(&w);
		http_link_ask(&w.link, STR("GET / HTTP/1.1\r\n\r\n"), false);
		UNTIL(&w, &got, got.n == 18);
		say(&w, rows[i].said);
		shutdown(w.peer, SHUT_WR);
		while (!w.lost && !w.answered) {
			loop_tick(&w);
		}
		ck_assert_int_eq(w.lost, rows[i].lost);
		ck_assert_int_eq(w.answered, rows[i].answered);
	}
}

TEST(test_pause)
{
	OWN_EMBEDDED(world_fini) struct world w;
	OWN_EMBEDDED(buf_fini) struct buf got = { 0 };

	world_init(&w);
	http_link_ask(&w.link, STR("GET / HTTP/1.1\r\n\r\n"), false);
	UNTIL(&w, &got, got.n == 18);
	http_link_pause(&w.link, true);
	say(&w, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
	for (int i = 0; i < 20; i++) {
		loop_tick(&w);
	}
	ck_assert(!w.link.spoken);
	http_link_pause(&w.link, false);
	UNTIL(&w, &got, w.answered == 1);
}

TEST(test_refused)
{
	OWN(loop_free) struct loop *loop = loop_new();
	struct world w = { .loop = loop };
	struct net_address address;

	ck_assert_int_eq(net_address_parse(STR("127.91.0.9:9"), -1, &address), 0);
	ck_assert_int_eq(http_link_open(&w.link, loop, &address, &events, &w), 0);
	http_link_ask(&w.link, STR("GET / HTTP/1.1\r\n\r\n"), false);
	for (int i = 0; i < 5000 && !w.lost; i++) {
		loop_tick(&w);
	}
	ck_assert_int_eq(w.lost, 1);
	ck_assert_int_eq(w.last_error, ECONNREFUSED);
	ck_assert(!http_link_reached(&w.link)); /* nobody can have done what was asked */
	http_link_close(&w.link);
}

UNIT_MAIN("http_link", test_one_after_the_other, test_file, test_early_answer, test_broken,
	test_pause, test_refused)
