/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives several Raft cores through tests/scenario/quorum/<name>.txt. Time stands still but for
 * now=MS, which every command takes. Servers are s1 .. s9; a first word that is one of them is who
 * something happens to.
 *
 *     cluster [trailing=N]            forget everything, it is 0 ms
 *     s1 start [term=T] [vote=s2] [log=1*3,2*2] [voters=s1,s2,s3] [others=s4] [snapshot=I]
 *                                     with such a log (the terms of its entries and how many of
 *                                     each) and such a configuration, in the persistent part; the
 *                                     log begins behind the snapshot
 *     s1 start bootstrap=1            alone, new
 *     s1 restart [recover=s1,s2]      as after a power cut: with what was stored and synced; told
 *                                     that only these are left
 *     s1 told servers=s1,s2           of the first servers of a new cluster
 *     s1 tick [late=1] | flush | propose | sync | turn | failed | show
 *                                     turn: flush, sync, flush; late: the server slept since it
 *                                     was due
 *     s1 read round=TAG | read lease=TAG
 *     s1 add|promote|demote|remove server=s4
 *     s1 transfer [to=s2]
 *     s1 lost peer=s2                 the connection broke
 *     s1 snapshot index=I             was taken
 *     s1 snapshot-sent peer=s2 index=I
 *     s1 install index=I term=T voters=...  a leader's snapshot is there
 *     s1 lease                        until when it has one
 *     deliver|drop [type=T] [from=s1] [to=s2]   what is on its way now, not what that makes
 *     settle                          deliver and sync, until nothing is on its way
 *     send from=s2 to=s1 type=T [term=] [index=] [log_term=] [commit=] [entries=1*2,3*1] [granted=]
 *                                     a message that nobody has sent
 */
#include "tests/scenario/quorum.h"

#include <stdio.h>

#include "common/base/err.h"
#include "tests/scenario/scenario.h"

static unsigned number_of(struct str name)
{
	must(name.n == 2 && name.p[0] == 's' && name.p[1] >= '1' && name.p[1] <= '9');
	return (unsigned)(name.p[1] - '1');
}

static struct server *server_of(struct table *t, struct str name)
{
	return &t->servers[number_of(name)];
}

static void put_servers(struct configuration *c, struct str names, bool voter)
{
	while (names.n) {
		struct str name = str_split(names, ',', &names);
		struct configuration_server *s = &c->servers[c->count++];

		*s = (struct configuration_server) { .id = server_id(number_of(name)),
			.voter = voter };
		snprintf(s->address, sizeof(s->address), "10.0.0.%u:1", number_of(name) + 1);
	}
}

static struct configuration configuration_of(struct str command)
{
	struct configuration c = { 0 };

	put_servers(&c, scenario_word(command, "voters"), true);
	put_servers(&c, scenario_word(command, "servers"), true);
	put_servers(&c, scenario_word(command, "others"), false);
	return c;
}

/* "1*3,2*2": three entries of term 1, two of term 2 */
static void each_term(struct str text, void (*fn)(void *arg, uint64_t term), void *arg)
{
	while (text.n) {
		struct str count, term = str_split(str_split(text, ',', &text), '*', &count);
		uint64_t n = 1, t = 0;

		must(str_to_u64(term, &t) == 0 && (!count.n || str_to_u64(count, &n) == 0));
		while (n--) {
			fn(arg, t);
		}
	}
}

/* -------- what happens to a server -------- */

static void put_term(void *arg, uint64_t term)
{
	struct server *s = arg;

	s->log[++s->last] = (struct entry) { .term = term, .type = RAFT_COMMAND };
}

static void do_start(struct server *s, struct str command)
{
	struct str vote = scenario_word(command, "vote");
	uint64_t snapshot = scenario_number(command, "snapshot");

	s->first = 1;
	s->last = 0;
	each_term(scenario_word(command, "log"), put_term, s);
	s->disk = (struct raft_persistent) { .term = scenario_number(command, "term"),
		.snapshot_index = snapshot,
		.snapshot_term = snapshot ? s->log[snapshot].term : 0,
		.configuration_index = s->last ? 1 : 0,
		.configuration = configuration_of(command) };
	if (vote.n) {
		s->disk.vote = server_id(number_of(vote));
	}
	if (snapshot) {
		s->first = snapshot + 1;
		s->before_term = s->disk.snapshot_term;
	}
	s->synced = s->last;
	shell_start(s, scenario_number(command, "bootstrap"), NULL);
	shell_show(s);
}

static void do_restart(struct server *s, struct str command)
{
	struct configuration recover = { 0 };

	put_servers(&recover, scenario_word(command, "recover"), true);
	raft_fini(&s->raft);
	s->last = s->synced;
	shell_start(s, false, recover.count ? &recover : NULL);
	shell_show(s);
}

static void simple(struct server *s, enum raft_event_type type)
{
	struct raft_event e = { .type = type, .index = s->last };

	shell_step(s, &e);
}

/* What is due happens when it is due, unless the server slept. */
static void do_tick(struct server *s, struct str command)
{
	struct mono now = s->table->now;

	if (!scenario_number(command, "late") && mono_before(s->raft.deadline, now)) {
		s->raft.deadline = now;
	}
	simple(s, RAFT_EVENT_TICK);
}

static void do_flush(struct server *s, struct str command)
{
	simple(s, RAFT_EVENT_FLUSH);
}

static void do_propose(struct server *s, struct str command)
{
	simple(s, RAFT_EVENT_PROPOSE);
}

static void do_failed(struct server *s, struct str command)
{
	simple(s, RAFT_EVENT_DISK_FAILED);
}

static void do_sync(struct server *s, struct str command)
{
	s->synced = s->last;
	simple(s, RAFT_EVENT_DURABLE);
}

static void do_turn(struct server *s, struct str command)
{
	do_flush(s, command);
	if (s->synced < s->last) {
		do_sync(s, command);
		do_flush(s, command);
	}
}

static void do_told(struct server *s, struct str command)
{
	struct configuration c = configuration_of(command);
	struct raft_event e = { .type = RAFT_EVENT_BOOTSTRAP, .configuration = &c };

	shell_step(s, &e);
}

static void do_read(struct server *s, struct str command)
{
	bool lease = scenario_word(command, "lease").p;
	struct raft_event e = { .type = RAFT_EVENT_READ_INDEX,
		.read = lease ? RAFT_READ_LEASE : RAFT_READ_ROUND,
		.tag = scenario_number(command, lease ? "lease" : "round") };

	shell_step(s, &e);
}

static void change(struct server *s, struct str command, enum raft_change_type type)
{
	struct configuration c = { 0 };
	struct raft_event e = { .type = RAFT_EVENT_CHANGE };

	put_servers(&c, scenario_word(command, "server"), true);
	e.change = (struct raft_server_change) { type, c.servers[0].id, c.servers[0].address };
	shell_step(s, &e);
}

static void do_add(struct server *s, struct str command)
{
	change(s, command, RAFT_ADD);
}

static void do_promote(struct server *s, struct str command)
{
	change(s, command, RAFT_PROMOTE);
}

static void do_demote(struct server *s, struct str command)
{
	change(s, command, RAFT_DEMOTE);
}

static void do_remove(struct server *s, struct str command)
{
	change(s, command, RAFT_REMOVE);
}

static void peer_event(
	struct server *s, struct str command, enum raft_event_type type, const char *word)
{
	struct str peer = scenario_word(command, word);
	struct raft_event e = { .type = type, .index = scenario_number(command, "index") };

	if (peer.n) {
		e.peer = server_id(number_of(peer));
	}
	shell_step(s, &e);
}

static void do_transfer(struct server *s, struct str command)
{
	peer_event(s, command, RAFT_EVENT_TRANSFER, "to");
}

static void do_lost(struct server *s, struct str command)
{
	peer_event(s, command, RAFT_EVENT_UNREACHABLE, "peer");
}

static void do_snapshot_sent(struct server *s, struct str command)
{
	peer_event(s, command, RAFT_EVENT_SNAPSHOT_SENT, "peer");
}

static void do_snapshot(struct server *s, struct str command)
{
	uint64_t index = scenario_number(command, "index");
	struct raft_event e = {
		.type = RAFT_EVENT_SNAPSHOT_TAKEN, .index = index, .term = s->log[index].term
	};

	shell_step(s, &e);
}

static void do_install(struct server *s, struct str command)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct configuration c = configuration_of(command);
	struct raft_event e = { .type = RAFT_EVENT_SNAPSHOT_INSTALLED };

	configuration_encode(&body, &c);
	e.snapshot = (struct raft_snapshot) { scenario_number(command, "index"),
		scenario_number(command, "term"), 1, buf_str(&body) };
	shell_step(s, &e);
}

static void do_lease(struct server *s, struct str command)
{
	struct mono until = raft_lease(&s->raft);

	if (until.ns == INT64_MAX) {
		buf_put_lit(s->table->trace, "for ever\n");
	} else {
		buf_printf(s->table->trace, "until %lldms\n", (long long)(until.ns / NS_PER_MS));
	}
}

static void do_show(struct server *s, struct str command)
{
	struct buf *out = s->table->trace;

	shell_show(s);
	if (raft_deadline(&s->raft).ns != INT64_MAX) {
		buf_printf(out, "deadline %lldms\n",
			(long long)(raft_deadline(&s->raft).ns / NS_PER_MS));
	}
	for (size_t i = 0; i < s->raft.peers_count && s->raft.role == RAFT_LEADER; i++) {
		static const char *const states[] = { "probe", "pipeline", "snapshot" };
		const struct raft_peer *p = &s->raft.peers[i];

		buf_printf(out, "%s: %s match=%llu next=%llu\n", server_name(&p->id),
			states[p->state], (unsigned long long)p->match,
			(unsigned long long)p->next);
	}
}

/* -------- messages -------- */

static bool is_meant(const struct letter *l, struct str command)
{
	struct str type = scenario_word(command, "type"), from = scenario_word(command, "from"),
		   to = scenario_word(command, "to");
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct raft_message m;

	must(raft_message_decode(buf_str(&l->bytes), &arena, &m) == 0);
	return (!type.n || str_is(type, raft_message_name(m.type))) &&
	       (!from.n || number_of(from) == l->from) && (!to.n || number_of(to) == l->to);
}

static bool hand_over(struct table *t, struct str command, bool deliver)
{
	struct letter *l, *next;
	struct list taken;
	bool any = false;

	list_init(&taken);
	list_for_each_safe (l, next, &t->letters, link) {
		if (is_meant(l, command)) {
			list_del(&l->link);
			list_add_tail(&taken, &l->link);
		}
	}
	list_for_each_safe (l, next, &taken, link) {
		any = true;
		if (deliver) {
			shell_deliver(t, l);
		}
		letter_free(l);
	}
	return any;
}

static void settle(struct table *t)
{
	do {
		for (unsigned i = 0; i < SERVERS_MAX; i++) {
			if (t->servers[i].live) {
				do_turn(&t->servers[i], STR_NONE);
			}
		}
	} while (hand_over(t, STR_NONE, true));
}

struct made {
	struct raft_log_entry items[LOG_MAX];
	uint32_t count;
};

static void put_made(void *arg, uint64_t term)
{
	struct made *made = arg;

	made->items[made->count++] = (struct raft_log_entry) { term, RAFT_COMMAND, STR_NONE };
}

static uint8_t type_of(struct str name)
{
	uint8_t type = 1;

	while (type < RAFT_MESSAGE_TYPES && !str_is(name, raft_message_name(type))) {
		type++;
	}
	must(type < RAFT_MESSAGE_TYPES);
	return type;
}

static void make(struct table *t, struct str command)
{
	struct letter l = { .from = number_of(scenario_word(command, "from")),
		.to = number_of(scenario_word(command, "to")) };
	struct made made = { .count = 0 };
	struct raft_message m = { .type = type_of(scenario_word(command, "type")),
		.from = server_id(l.from),
		.to = server_id(l.to),
		.term = scenario_number(command, "term"),
		.index = scenario_number(command, "index"),
		.log_term = scenario_number(command, "log_term"),
		.commit = scenario_number(command, "commit"),
		.stamp = scenario_number(command, "stamp"),
		.tag = scenario_number(command, "tag"),
		.granted = scenario_number(command, "granted"),
		.force = scenario_number(command, "force") };

	each_term(scenario_word(command, "entries"), put_made, &made);
	m.entries.items = made.items;
	m.entries.count = made.count;
	raft_message_encode(&l.bytes, &m);
	shell_deliver(t, &l);
	buf_fini(&l.bytes);
}

/* -------- the driver -------- */

static void clear(struct table *t)
{
	struct letter *l, *next;

	for (unsigned i = 0; i < SERVERS_MAX; i++) {
		if (t->servers[i].live) {
			raft_fini(&t->servers[i].raft);
		}
		t->servers[i] = (struct server) { .table = t, .number = i, .first = 1 };
	}
	list_for_each_safe (l, next, &t->letters, link) {
		letter_free(l);
	}
	t->now = (struct mono) { 0 };
}

static void server_command(struct table *t, struct str command)
{
	static const struct {
		const char *verb;
		void (*fn)(struct server *s, struct str command);
	} verbs[] = {
		{ "start", do_start },
		{ "restart", do_restart },
		{ "told", do_told },
		{ "tick", do_tick },
		{ "flush", do_flush },
		{ "propose", do_propose },
		{ "sync", do_sync },
		{ "turn", do_turn },
		{ "failed", do_failed },
		{ "read", do_read },
		{ "add", do_add },
		{ "promote", do_promote },
		{ "demote", do_demote },
		{ "remove", do_remove },
		{ "transfer", do_transfer },
		{ "lost", do_lost },
		{ "snapshot", do_snapshot },
		{ "snapshot-sent", do_snapshot_sent },
		{ "install", do_install },
		{ "lease", do_lease },
		{ "show", do_show },
	};
	struct str words, verb;
	struct str name = str_split(command, ' ', &words);

	verb = scenario_verb(words);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (str_is(verb, verbs[i].verb)) {
			verbs[i].fn(server_of(t, name), words);
			return;
		}
	}
	buf_put_lit(t->trace, "unknown command\n");
}

static void run(void *state, struct str command, struct buf *trace)
{
	struct table *t = state;
	struct str verb = scenario_verb(command);

	t->trace = trace;
	if (scenario_word(command, "now").p) {
		t->now.ns = (int64_t)scenario_number(command, "now") * NS_PER_MS;
	}
	if (str_is(verb, "cluster")) {
		clear(t);
		t->trailing = scenario_number(command, "trailing");
	} else if (str_is(verb, "deliver") || str_is(verb, "drop")) {
		(void)hand_over(t, command, str_is(verb, "deliver"));
	} else if (str_is(verb, "settle")) {
		settle(t);
	} else if (str_is(verb, "send")) {
		make(t, command);
	} else {
		server_command(t, command);
	}
}

static void *begin(void)
{
	struct table *t = xcalloc(1, sizeof(*t));

	list_init(&t->letters);
	clear(t);
	return t;
}

static void end(void *state)
{
	clear(state);
	free(state);
}

int main(int argc, char **argv)
{
	static const struct scenario_driver driver = { begin, run, end };

	return scenario_main(&driver, argc, argv);
}
