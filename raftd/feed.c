/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed: committed entries, in order, to whoever asks behind an index. A call without news is
 * held until there are some or its time is over.
 */
#include "raftd/raftd.h"

struct feed {
	struct list link;
	struct ipc_call *call;
	uint64_t after;
	uint32_t bytes_max;
	struct mono deadline;
};

static struct raft_entry shown(const struct raftd *r, const struct record *record)
{
	bool own = record->type != RAFT_COMMAND;

	return (struct raft_entry) {
		.index = record->index,
		.term = record->term,
		.command = own ? buf_str(&r->noop) : record->body,
	};
}

/* What is committed elsewhere may not be durable here yet: a state made of it could be ahead of the
 * log after a crash. */
static uint64_t feedable(const struct raftd *r)
{
	return min_of(r->node.raft.commit_index, r->node.raft.durable_index);
}

static int collect(struct raftd *r, uint64_t after, uint32_t bytes_max, struct arena *arena,
	struct raft_feed_reply *reply)
{
	uint64_t commit = feedable(r);
	struct record *records;
	size_t count;
	int status;

	reply->commit_index = commit;
	reply->first_index = r->node.log->first_index;
	reply->log_bytes = log_disk_bytes(r->node.log);
	reply->snapshot_needed = after + 1 < reply->first_index;
	if (reply->snapshot_needed || after >= commit) {
		return 0;
	}
	status = log_read(r->node.log, after + 1, commit, bytes_max, arena, &records, &count);
	if (status) {
		return status;
	}
	reply->entries.items = arena_array(arena, struct raft_entry, count);
	reply->entries.count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		reply->entries.items[i] = shown(r, &records[i]);
	}
	return 0;
}

static void answer(struct raftd *r, struct ipc_call *call, uint64_t after, uint32_t bytes_max)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct raft_feed_reply reply = { 0 };
	int status = collect(r, after, bytes_max, &arena, &reply);

	if (status) {
		log_error("feed-unreadable", "after=%llu error=\"%s\"", (unsigned long long)after,
			status < 0 ? err_text() : status_name(status));
		ipc_refuse(call, ST_NOT_READY);
		return;
	}
	IPC_REPLY(call, raft_feed, &reply);
}

static void hold(
	struct raftd *r, struct ipc_call *call, const struct raft_feed *m, uint32_t bytes_max)
{
	struct feed *f;

	if (r->feeds_count == FEEDS_MAX) {
		ipc_refuse(call, ST_FULL);
		return;
	}
	f = xmalloc(sizeof(*f));
	*f = (struct feed) {
		.call = call,
		.after = m->after,
		.bytes_max = bytes_max,
		.deadline = mono_add_ms(loop_now(r->daemon->loop), m->wait_ms),
	};
	list_add_tail(&r->feeds, &f->link);
	r->feeds_count++;
}

void raftd_handle_feed(struct raftd *r, struct ipc_call *call, const struct raft_feed *m)
{
	uint32_t bytes_max =
		m->bytes_max ? min_of(m->bytes_max, (uint32_t)FEED_BYTES_MAX) : FEED_BYTES_MAX;

	if (m->after > raft_last_index(&r->node.raft)) {
		if (log_allow(&r->foreign_state)) {
			log_error("foreign-state",
				"state_index=%llu log_index=%llu error=\"the state is ahead of the "
				"log: they do not belong together\"",
				(unsigned long long)m->after,
				(unsigned long long)raft_last_index(&r->node.raft));
		}
		ipc_refuse(call, ST_CORRUPT);
		return;
	}
	r->applied_index = m->after;
	metrics_set(r->daemon->metrics, METRIC_APPLIED_INDEX, (double)m->after);
	if (m->after < feedable(r) || m->wait_ms == 0) {
		answer(r, call, m->after, bytes_max);
	} else {
		hold(r, call, m, bytes_max);
	}
}

static void feed_free(struct raftd *r, struct feed *f)
{
	list_del(&f->link);
	r->feeds_count--;
	free(f);
}

void raftd_feed_all(struct raftd *r)
{
	struct mono now = loop_now(r->daemon->loop);
	struct feed *f, *next;

	list_for_each_safe (f, next, &r->feeds, link) {
		if (f->after < feedable(r) || !mono_before(now, f->deadline)) {
			answer(r, f->call, f->after, f->bytes_max);
			feed_free(r, f);
		}
	}
}

struct mono raftd_feed_deadline(const struct raftd *r)
{
	struct mono deadline = MONO_NEVER;
	const struct feed *f;

	list_for_each (f, &r->feeds, link) {
		deadline = mono_min(deadline, f->deadline);
	}
	return deadline;
}

void raftd_feed_fini(struct raftd *r)
{
	struct feed *f, *next;

	list_for_each_safe (f, next, &r->feeds, link) {
		feed_free(r, f);
	}
}
