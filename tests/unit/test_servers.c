/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/client/servers: it follows a gossipd (played here) through changes, refusals and its end.
 */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "common/client/servers.h"

#define SELF "11111111-0000-4000-8000-000000000000"

struct world {
	struct loop *loop;
	struct ipc_server *gossipd;
	struct ipc_client *client;
	struct servers *servers;
	struct conf *conf;
	struct loop_timer limit;
	struct ipc_call *held; /* the LAN pool's */
	uint64_t version;
	uint8_t status; /* of the one other server */
	bool refuse, late;
};

static void answer(struct world *w, struct ipc_call *call, bool wan)
{
	struct pair tags[] = { { STR("dc"), wan ? STR("dc2") : STR("dc1") },
		{ STR("id"), wan ? STR("33333333-0000-4000-8000-000000000000")
				 : STR("22222222-0000-4000-8000-000000000000") },
		{ STR("role"), STR("consul") } };
	struct member one = { .name = wan ? STR("t1.dc2") : STR("s1"),
		.addr = STR("10.0.0.1"),
		.status = w->status,
		.tags = { tags, ARRAY_SIZE(tags), true } };
	struct members_reply reply = {
		.version = w->version, .self = STR(""), .members = { &one, 1 }
	};

	IPC_REPLY(call, members, &reply);
}

static void handle_members(struct world *w, struct ipc_call *call, const struct members *m)
{
	if (w->refuse) {
		w->refuse = false;
		ipc_refuse(call, ST_FULL);
	} else if (m->wan) {
		if (m->version != w->version) {
			answer(w, call, true);
		} /* else: held for ever */
	} else if (m->version == w->version) {
		w->held = call;
	} else {
		answer(w, call, false);
	}
}

IPC_DECODER(struct world, members, handle_members)

static const struct ipc_handler rows[] = { IPC_HANDLER(members, ROLE_READ, handle_members) };

static void on_limit(void *arg)
{
	((struct world *)arg)->late = true;
}

static void gossipd_start(struct world *w)
{
	ck_assert_int_eq(ipc_server_new(w->loop, "gossipd", ROLE_READ, rows, ARRAY_SIZE(rows), w,
				 &w->gossipd),
		0);
}

static void world_init(struct world *w)
{
	const char text[] = "{\"server\":true,\"data_dir\":\".\",\"node_id\":\"" SELF
			    "\",\"bind_addr\":\"127.0.0.1\"}";
	struct conf_source source = { .path = "test", .text = text };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	char dir[] = "/tmp/muster-servers-XXXXXX";

	*w = (struct world) { .loop = loop_new(), .version = 1, .status = 1, .refuse = true };
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_msg(conf_load(&source, 1, &w->conf, NULL, &why) == 0, "%s", buf_cstr(&why));
	gossipd_start(w);
	ck_assert_int_eq(ipc_client_new(w->loop, "gossipd", &w->client), 0);
	ck_assert_int_eq(servers_new(w->loop, w->client, w->conf, &w->servers), 0);
	loop_timer_init(&w->limit, w->loop, on_limit, w);
	loop_timer_in(&w->limit, 20000);
}

static void world_fini(struct world *w)
{
	servers_free(w->servers);
	ipc_client_free(w->client);
	if (w->gossipd) {
		ipc_server_free(w->gossipd);
	}
	loop_timer_stop(&w->limit);
	conf_free(w->conf);
	loop_free(w->loop);
}

#define UNTIL(w, condition)                                              \
	do {                                                             \
		while (!(condition)) {                                   \
			loop_run_once((w)->loop);                        \
			ck_assert_msg(!(w)->late, "never: " #condition); \
		}                                                        \
	} while (0)

TEST(test_follows)
{
	OWN_EMBEDDED(world_fini) struct world w;
	struct server s;

	world_init(&w);
	ck_assert(!servers_ready(w.servers));
	ck_assert(!servers_pick(w.servers, STR("dc1"), NULL, 0, &s));
	UNTIL(&w, servers_ready(w.servers) && w.held); /* though the first call was refused */
	ck_assert(servers_pick(w.servers, STR("dc1"), NULL, 0, &s));
	ck_str_is(s.name, "s1");
	ck_assert(servers_pick(w.servers, STR("dc2"), NULL, 0, &s));
	ck_str_is(s.name, "t1");

	w.version = 2;
	w.status = 4;
	answer(&w, take(w.held), false);
	UNTIL(&w, !servers_alive(w.servers, STR("dc1")));
	ck_assert(servers_knows(w.servers, STR("dc1")));

	UNTIL(&w, w.held);
	w.version = 3;
	w.status = 1;
	answer(&w, take(w.held), false);
	UNTIL(&w, servers_alive(w.servers, STR("dc1")) == 1);

	ipc_server_free(take(w.gossipd)); /* what was known last stays */
	w.held = NULL;
	for (int i = 0; i < 20; i++) {
		struct loop_timer tick;

		loop_timer_init(&tick, w.loop, on_limit, &(struct world) { .late = false });
		loop_timer_in(&tick, 10);
		loop_run_once(w.loop);
		loop_timer_stop(&tick);
	}
	ck_assert_uint_eq(servers_alive(w.servers, STR("dc1")), 1);
	w.version = 7;
	w.status = 4;
	gossipd_start(&w);
	UNTIL(&w, !servers_alive(w.servers, STR("dc1")) && w.held);
}

UNIT_MAIN("servers", test_follows)
