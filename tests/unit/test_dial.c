/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sys/dial with a resolver that takes its time: glibc's functions are replaced by ours.
 */
#include "tests/unit/unit.h"

#include <netdb.h>

#include "common/sys/dial.h"

static struct {
	struct gaicb *request;
	bool busy;
	int freed;
} resolver;

int getaddrinfo_a(int mode, struct gaicb *list[], int count, struct sigevent *event)
{
	resolver.request = list[0];
	resolver.busy = true;
	return 0;
}

int gai_error(struct gaicb *request)
{
	ck_assert_ptr_eq(request, resolver.request);
	return resolver.busy ? EAI_INPROGRESS : 0;
}

int gai_cancel(struct gaicb *request)
{
	return EAI_NOTCANCELED;
}

void freeaddrinfo(struct addrinfo *a)
{
	resolver.freed++;
}

static void on_addresses(
	void *arg, const struct net_address *addresses, size_t count, const char *error)
{
	ck_abort_msg("nobody waits for this");
}

static void on_pause(void *arg)
{
	loop_stop(arg);
}

static void run_for(struct loop *loop, int64_t ms)
{
	struct loop_timer pause;

	loop_timer_init(&pause, loop, on_pause, loop);
	loop_timer_in(&pause, ms);
	loop_run(loop);
}

/* What the resolver still works on is kept until it is done, and no longer. */
TEST(test_given_up)
{
	struct loop *loop = loop_new();
	struct dial *d = dial_new(loop, STR("name.test:80"), on_addresses, NULL);
	struct addrinfo found = { .ai_family = AF_UNSPEC };

	run_for(loop, 10);
	dial_free(d);
	run_for(loop, 1200);
	ck_assert_int_eq(resolver.freed, 0);
	resolver.request->ar_result = &found;
	resolver.busy = false;
	while (!resolver.freed) {
		run_for(loop, 50);
	}
	loop_free(loop);
}
END_TEST

static void on_refused(
	void *arg, const struct net_address *addresses, size_t count, const char *error)
{
	ck_assert_uint_eq(count, 0);
	*(char **)arg = xstrdup(error);
}

/* In Go's words. */
TEST(test_no_addresses)
{
	static const struct {
		const char *host_port, *error;
	} rows[] = { { "127.0.0.1:99999", "address 99999: invalid port" },
		{ "127.0.0.1", "address 127.0.0.1: missing port in address" } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct loop *loop = loop_new();
		OWN(free) char *error = NULL;
		struct dial *d = dial_new(loop, str_of(rows[i].host_port), on_refused, &error);

		while (!error) {
			loop_run_once(loop);
		}
		ck_assert_str_eq(error, rows[i].error);
		dial_free(d);
		loop_free(loop);
	}
}
END_TEST

UNIT_MAIN("dial", test_given_up, test_no_addresses)
