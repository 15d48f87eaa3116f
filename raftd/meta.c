/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding and choosing between the two records of the meta file.
 */
#include "raftd/meta.h"

#include "common/base/hash.h"
#include "common/msg/wire_code.h"

#define FIELDS_raft_stored(F, O, L) \
	F(U64, sequence)            \
	F(U64, term)                \
	F(UUID, vote)               \
	F(U64, snapshot_index)      \
	F(U64, snapshot_term) F(U64, configuration_index) F(STR, configuration) F(BOOL, log_reset)
WIRE_DECLARE(raft_stored)
WIRE_DEFINE(raft_stored)

static const char meta_magic[8] = "musterM3";
static const char meta_magic_before[8] = "musterM2"; /* without a life */

enum { SLOT_HEADER_SIZE = 16 }; /* magic, length u32, crc u32 of what follows */

struct meta {
	struct disk_file *file;
	uint64_t sequence; /* of the newest record; its slot is sequence % 2 */
};

static void encode(struct buf *out, uint64_t sequence, const struct raft_persistent *p)
{
	OWN_EMBEDDED(buf_fini) struct buf configuration = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct raft_stored stored = {
		.sequence = sequence,
		.term = p->term,
		.vote = p->vote,
		.snapshot_index = p->snapshot_index,
		.snapshot_term = p->snapshot_term,
		.configuration_index = p->configuration_index,
		.log_reset = p->log_reset,
	};

	configuration_encode(&configuration, &p->configuration);
	stored.configuration = buf_str(&configuration);
	buf_put(&body, p->life.b, sizeof(p->life.b));
	raft_stored_encode(&body, &stored);
	must(SLOT_HEADER_SIZE + body.n <= META_SLOT_SIZE);
	buf_put(out, meta_magic, sizeof(meta_magic));
	buf_put_u32(out, (uint32_t)body.n);
	buf_put_u32(out, crc32c(0, body.p, body.n));
	buf_put_str(out, buf_str(&body));
	memset(buf_reserve(out, META_SLOT_SIZE), 0, META_SLOT_SIZE);
	out->n = META_SLOT_SIZE; /* the record and zeros */
}

static bool take_life(struct str magic, struct str *body, struct uuid *out)
{
	*out = (struct uuid) { { 0 } };
	if (str_eq(magic, str_n(meta_magic_before, sizeof(meta_magic_before)))) {
		return true;
	}
	if (!str_eq(magic, str_n(meta_magic, sizeof(meta_magic))) || body->n < sizeof(out->b)) {
		return false;
	}
	memcpy(out->b, body->p, sizeof(out->b));
	*body = str_skip(*body, sizeof(out->b));
	return true;
}

/* The record of a slot, when it is good and newer than what was found before. */
static void take_slot(struct meta *m, struct str slot, struct raft_persistent *p)
{
	struct cursor c = cursor_of(slot);
	struct str magic = cursor_take(&c, sizeof(meta_magic));
	uint32_t length = cursor_u32(&c), crc = cursor_u32(&c);
	struct str body = cursor_take(&c, length);
	struct configuration configuration;
	struct raft_stored stored;
	struct uuid life;

	if (c.bad || crc != crc32c(0, body.p, body.n) || !take_life(magic, &body, &life) ||
		raft_stored_decode(body, NULL, &stored) || stored.sequence <= m->sequence ||
		configuration_decode(stored.configuration, &configuration)) {
		return;
	}
	m->sequence = stored.sequence;
	*p = (struct raft_persistent) {
		.life = life,
		.term = stored.term,
		.vote = stored.vote,
		.snapshot_index = stored.snapshot_index,
		.snapshot_term = stored.snapshot_term,
		.configuration_index = stored.configuration_index,
		.log_reset = stored.log_reset,
		.configuration = configuration,
	};
}

static int make(struct disk *disk, struct disk_file *file)
{
	static const char zeros[2 * META_SLOT_SIZE];
	int r = disk_write(file, 0, zeros, sizeof(zeros));

	r = r ? r : disk_sync(file);
	return r ? r : disk_sync_names(disk);
}

int meta_open(struct disk *disk, struct meta **out, struct raft_persistent *loaded, struct buf *why)
{
	OWN(meta_free) struct meta *m = xcalloc(1, sizeof(*m));
	char slots[2 * META_SLOT_SIZE];
	uint64_t size;
	int r;

	*loaded = (struct raft_persistent) { 0 };
	r = disk_open(disk, "meta", &m->file, &size);
	if (r == 0 && size < sizeof(slots)) {
		r = make(disk, m->file);
	} else if (r == 0) {
		r = disk_read(m->file, 0, slots, sizeof(slots));
	}
	if (r) {
		buf_put_cstr(why, err_text());
		return r;
	}
	if (size >= sizeof(slots)) {
		take_slot(m, str_n(slots, META_SLOT_SIZE), loaded);
		take_slot(m, str_n(slots + META_SLOT_SIZE, META_SLOT_SIZE), loaded);
	}
	/* What was read may be in the cache only: the life before this one could not sync it,
	 * and was
	 * killed. Nobody may be told of it before it is durable. */
	r = m->sequence ? meta_write(m, loaded) : 0;
	if (r) {
		buf_put_cstr(why, err_text());
		return r;
	}
	*out = take(m);
	return 0;
}

void meta_free(struct meta *m)
{
	if (m->file) {
		disk_close(m->file);
	}
	free(m);
}

int meta_write(struct meta *m, const struct raft_persistent *p)
{
	OWN_EMBEDDED(buf_fini) struct buf slot = { 0 };
	uint64_t sequence = m->sequence + 1;
	int r;

	encode(&slot, sequence, p);
	r = disk_write(m->file, sequence % 2 * META_SLOT_SIZE, slot.p, slot.n);
	r = r ? r : disk_sync(m->file);
	if (r == 0) {
		m->sequence = sequence;
	}
	return r;
}
