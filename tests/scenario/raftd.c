/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives one Raft core through tests/scenario/raftd/<name>.txt. Commands: one event each, words as
 * below; the trace shows the update and then the state. `quiet` events that change nothing show
 * "-". Time is virtual: now=MS.
 *
 *     init address=A trailing=N           a fresh core (the one before is forgotten, what it
 * persisted is kept) start first=I last=I last_term=T [bootstrap=1] [configuration=I of=A] with
 * what was persisted before; a configuration entry in the log names this server at A propose |
 * durable index=I | persisted | failed now=MS | tick now=MS | read tag=N | snapshot index=I term=T
 */
#include <stdio.h>

#include "common/base/err.h"
#include "raftd/core/raft.h"
#include "tests/scenario/scenario.h"

struct world {
	struct raft raft;
	bool live;
	struct raft_persistent disk; /* what the last persist wrote */
	struct trail trail;	     /* what start finds in the log */
	struct buf configuration;
	struct raft_configured configured;
};

static void put_append(struct buf *out, const struct raft_append *a)
{
	static const char *const types[] = { "", "command", "noop", "configuration" };

	buf_printf(out, "append index=%llu term=%llu type=%s\n", (unsigned long long)a->index,
		(unsigned long long)a->term, types[a->type]);
}

static void put_update(struct buf *out, const struct raft *r, const struct raft_update *u)
{
	if (u->status) {
		buf_printf(out, "status %s\n", status_name(u->status));
	}
	if (u->role_changed || u->note) {
		buf_printf(out, "role %s: %s\n", raft_role_name(r->role), u->note);
	}
	if (u->persist) {
		buf_printf(out, "persist term=%llu vote=%s snapshot=%llu/%llu servers=%zu\n",
			(unsigned long long)r->persistent.term,
			uuid_is_zero(&r->persistent.vote) ? "none" : "self",
			(unsigned long long)r->persistent.snapshot_index,
			(unsigned long long)r->persistent.snapshot_term,
			r->persistent.configuration.count);
	}
	if (u->cut) {
		buf_printf(out, "cut after=%llu\n", (unsigned long long)u->cut_after);
	}
	for (size_t i = 0; i < u->append_count; i++) {
		put_append(out, &u->append[i]);
	}
	if (u->committed) {
		buf_printf(out, "commit %llu\n", (unsigned long long)r->commit_index);
	}
	for (int kind = 0; kind < RAFT_READ_KINDS; kind++) {
		if (u->reads[kind].through) {
			buf_printf(out, "reads through=%llu %s index=%llu\n",
				(unsigned long long)u->reads[kind].through,
				status_name(u->reads[kind].status),
				(unsigned long long)u->reads[kind].index);
		}
	}
	if (u->discard_before) {
		buf_printf(out, "discard before=%llu\n", (unsigned long long)u->discard_before);
	}
}

static void put_state(struct buf *out, const struct raft *r)
{
	buf_printf(out, "= %s term=%llu log=%llu..%llu/%llu durable=%llu commit=%llu",
		raft_role_name(r->role), (unsigned long long)r->persistent.term,
		(unsigned long long)(r->trail.last ? r->trail.first : 0),
		(unsigned long long)r->trail.last, (unsigned long long)raft_last_term(r),
		(unsigned long long)r->durable_index, (unsigned long long)r->commit_index);
	if (raft_deadline(r).ns != INT64_MAX) {
		buf_printf(out, " deadline=%lldms", (long long)(raft_deadline(r).ns / NS_PER_MS));
	}
	buf_put_char(out, '\n');
}

static void init(struct world *w, struct str command)
{
	OWN(free) char *address = str_dup(scenario_word(command, "address"));
	struct raft_options options = {
		.id = { "self" },
		.address = address,
		.trailing_logs = scenario_number(command, "trailing"),
		.seed = 1,
		.heartbeat_ms = 100,
		.election_ms = 500,
		.drift_percent = 5,
	};

	if (w->live) {
		raft_fini(&w->raft);
	}
	raft_init(&w->raft, &options);
	w->live = true;
}

static void put_configuration(struct buf *out, struct str address)
{
	struct configuration c = { .servers = { { .id = { "self" }, .voter = true } }, .count = 1 };

	must(address.n < sizeof(c.servers[0].address));
	memcpy(c.servers[0].address, address.p, address.n);
	buf_clear(out);
	configuration_encode(out, &c);
}

/* first..last, all of one term. */
static void put_trail(struct trail *t, struct str command)
{
	uint64_t first = scenario_number(command, "first");
	uint64_t term = scenario_number(command, "last_term");

	trail_fini(t);
	trail_init(t);
	if (first) {
		trail_reset(t, first - 1, first > 1 ? term : 0);
		while (t->last < scenario_number(command, "last")) {
			trail_append(t, term);
		}
	}
}

static bool event_of(struct world *w, struct str command, struct raft_event *e)
{
	static const struct {
		const char *verb;
		enum raft_event_type type;
	} verbs[] = {
		{ "start", RAFT_EVENT_START },
		{ "tick", RAFT_EVENT_TICK },
		{ "persisted", RAFT_EVENT_PERSISTED },
		{ "propose", RAFT_EVENT_PROPOSE },
		{ "durable", RAFT_EVENT_DURABLE },
		{ "failed", RAFT_EVENT_DISK_FAILED },
		{ "read", RAFT_EVENT_READ_INDEX },
		{ "snapshot", RAFT_EVENT_SNAPSHOT_TAKEN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (str_is(scenario_verb(command), verbs[i].verb)) {
			*e = (struct raft_event) {
				.type = verbs[i].type,
				.now = { (int64_t)scenario_number(command, "now") * NS_PER_MS },
				.index = scenario_number(command, "index"),
				.term = scenario_number(command, "term"),
				.tag = scenario_number(command, "tag"),
				.read = RAFT_READ_ROUND,
				.start = { .persistent = &w->disk,
					.trail = &w->trail,
					.configured = &w->configured,
					.configured_count = w->configured.index > 0,
					.bootstrap = scenario_number(command, "bootstrap") },
			};
			return true;
		}
	}
	return false;
}

static void run(void *state, struct str command, struct buf *trace)
{
	struct world *w = state;
	struct raft_update update;
	struct raft_event event;

	if (str_is(scenario_verb(command), "init")) {
		init(w, command);
		return;
	}
	if (scenario_word(command, "of").p) {
		put_configuration(&w->configuration, scenario_word(command, "of"));
	}
	put_trail(&w->trail, command);
	w->configured = (struct raft_configured) { scenario_number(command, "configuration"),
		buf_str(&w->configuration) };
	if (!event_of(w, command, &event)) {
		buf_put_lit(trace, "unknown command\n");
		return;
	}
	raft_step(&w->raft, &event, &update);
	raft_check(&w->raft);
	if (update.persist) {
		w->disk = w->raft.persistent;
	}
	put_update(trace, &w->raft, &update);
	put_state(trace, &w->raft);
}

static void *begin(void)
{
	struct world *w = xcalloc(1, sizeof(*w));

	trail_init(&w->trail);
	return w;
}

static void end(void *state)
{
	struct world *w = state;

	if (w->live) {
		raft_fini(&w->raft);
	}
	buf_fini(&w->configuration);
	trail_fini(&w->trail);
	free(w);
}

int main(int argc, char **argv)
{
	static const struct scenario_driver driver = { begin, run, end };

	return scenario_main(&driver, argc, argv);
}
