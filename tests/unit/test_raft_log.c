/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log and the node around it on a disk that can be told what to do: rotation, reading back from
 * memory and from files, damage in the middle against a torn tail, a full disk, and the fault walk
 * (each call of the disk fails once).
 */
#include <stdlib.h>
#include <unistd.h>

#include "common/base/hash.h"
#include "raftd/node.h"
#include "tests/fake/fake_disk.h"
#include "tests/unit/unit.h"

enum { SEGMENT = 16 << 10 };

static struct node_options options_of(struct disk *disk)
{
	return (struct node_options) {
		.disk = disk,
		.raft = { .id = { "self" },
			.address = "127.0.0.1:8300",
			.trailing_logs = 5,
			.heartbeat_ms = 100,
			.election_ms = 500,
			.drift_percent = 5,
			.seed = 7 },
		.segment_bytes = SEGMENT,
		.first_segment_bytes = SEGMENT,
		.tail_bytes = 4 << 10,
		.bootstrap = true,
	};
}

static int open_node(struct node *n, struct disk *disk, struct buf *why)
{
	struct node_options options = options_of(disk);
	int r = node_init(n, &options, why);

	if (r == 0) {
		node_start(n, (struct mono) { NS_PER_S });
	}
	return r;
}

/* Entry i's body is i times 37 bytes modulo 900, all of one letter. */
static struct str body_of(uint64_t i, char out[1000])
{
	size_t n = (size_t)(i * 37 % 900);

	memset(out, 'a' + (int)(i % 26), n);
	return str_n(out, n);
}

static void propose_through(struct node *n, uint64_t last)
{
	char bytes[1000];

	while (n->raft.trail.last < last) {
		uint64_t index;

		ck_assert_int_eq(node_propose(n, (struct mono) { NS_PER_S },
					 body_of(n->raft.trail.last + 1, bytes), &index),
			0);
		if (index % 3 == 0) {
			node_advance(n, (struct mono) { NS_PER_S });
		}
	}
	node_advance(n, (struct mono) { NS_PER_S });
	ck_assert_uint_eq(n->raft.commit_index, n->raft.trail.last);
}

static void check_bodies(struct node *n, uint64_t from, uint64_t through)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	char bytes[1000];

	while (from <= through) {
		struct record *records;
		size_t count;

		ck_assert_int_eq(
			log_read(n->log, from, through, 3000, &arena, &records, &count), 0);
		ck_assert_uint_gt(count, 0);
		for (size_t i = 0; i < count; i++, from++) {
			ck_assert_uint_eq(records[i].index, from);
			if (records[i].type == RAFT_COMMAND) {
				ck_assert(str_eq(records[i].body, body_of(from, bytes)));
			}
		}
	}
}

TEST(rotates_and_reads_back)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct fake_disk disk;
	struct node n;

	fake_disk_init(&disk, 1);
	ck_assert_int_eq(open_node(&n, &disk.disk, &why), 0);
	propose_through(&n, 200);
	check_bodies(&n, 1, 200);
	ck_assert(n.log->segments.next != n.log->segments.prev);
	node_fini(&n);
	/* A restart reads everything from the files. */
	ck_assert_int_eq(open_node(&n, &disk.disk, &why), 0);
	ck_assert_uint_eq(n.raft.commit_index, 201);
	check_bodies(&n, 1, 200);
	/* A snapshot gives files back, and they are used again. */
	ck_assert_int_eq(node_snapshot_taken(&n, (struct mono) { NS_PER_S }, 190, 1), 0);
	ck_assert_uint_gt(n.log->first_index, 1);
	ck_assert_uint_le(n.log->first_index, 186);
	propose_through(&n, 400);
	check_bodies(&n, n.log->first_index, 400);
	node_fini(&n);
	ck_assert_int_eq(open_node(&n, &disk.disk, &why), 0);
	check_bodies(&n, n.log->first_index, 400);
	node_fini(&n);
	fake_disk_fini(&disk);
}
END_TEST

/* So many entries could stay behind a snapshot, but not so many bytes. */
TEST(trailing_bytes)
{
	enum { BODY = 1 << 20, COUNT = 80 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN(free) char *large = xcalloc(1, BODY);
	struct mono now = { NS_PER_S };
	struct fake_disk disk;
	struct node_options options = options_of(&disk.disk);
	struct node n;
	uint64_t index;

	options.segment_bytes = 2 * BODY;
	options.raft.trailing_logs = 1000;
	fake_disk_init(&disk, 1);
	ck_assert_int_eq(node_init(&n, &options, &why), 0);
	node_start(&n, now);
	for (int i = 0; i < COUNT; i++) {
		ck_assert_int_eq(node_propose(&n, now, str_n(large, BODY), &index), 0);
		node_advance(&n, now);
	}
	ck_assert_uint_gt(log_disk_bytes(n.log), NODE_TRAILING_BYTES_MAX);
	ck_assert_int_eq(node_snapshot_taken(&n, now, COUNT - 1, 1), 0);
	ck_assert_uint_le(log_disk_bytes(n.log), NODE_TRAILING_BYTES_MAX);
	ck_assert_uint_eq(n.raft.trail.first, n.log->first_index);
	ck_assert_uint_gt(n.raft.trail.first, 1);
	raft_check(&n.raft);
	node_fini(&n);
	fake_disk_fini(&disk);
}
END_TEST

TEST(large_entries)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN(free) char *large = xcalloc(1, SEGMENT);
	struct fake_disk disk;
	struct node n;
	uint64_t index;
	struct mono now = { NS_PER_S };

	fake_disk_init(&disk, 1);
	ck_assert_int_eq(open_node(&n, &disk.disk, &why), 0);
	ck_assert_int_eq(node_propose(&n, now, str_n(large, SEGMENT), &index), ST_TOO_LARGE);
	ck_assert_int_eq(node_propose(&n, now, str_n(large, 12000), &index), 0);
	ck_assert_int_eq(node_propose(&n, now, str_n(large, 12000), &index), 0);
	ck_assert_int_eq(node_propose(&n, now, str_n(large, 0), &index), 0);
	node_advance(&n, now);
	ck_assert_uint_eq(n.raft.commit_index, 5);
	node_fini(&n);
	ck_assert_int_eq(open_node(&n, &disk.disk, &why), 0);
	check_bodies(&n, 1, 2);
	node_fini(&n);
	fake_disk_fini(&disk);
}
END_TEST

/* Flips a bit at each place of the first segment, and looks whether what comes out is right or
 * refused. */
TEST(damage_is_refused)
{
	int refused = 0, recovered = 0;

	for (uint64_t offset = 0; offset < 9000; offset += 11) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		struct fake_disk disk;
		struct node n;
		int r;

		fake_disk_init(&disk, 1);
		ck_assert_int_eq(open_node(&n, &disk.disk, &why), 0);
		propose_through(&n, 30);
		node_fini(&n);
		ck_assert(fake_disk_flip(&disk, "segment.0", offset));
		r = open_node(&n, &disk.disk, &why);
		ck_assert(r == 0 || r == ST_CORRUPT);
		if (r == 0) {
			/* The flip was in padding, in a copy of the header, behind the end, or in
			 * the last batch. */
			check_bodies(&n, 1, min_of(n.raft.commit_index - 1, (uint64_t)30));
			ck_assert_uint_ge(n.raft.commit_index, 28);
			node_fini(&n);
			recovered++;
		} else {
			ck_assert_int_ge(str_find_str(buf_str(&why), STR("segment.0, offset ")), 0);
			refused++;
		}
		fake_disk_fini(&disk);
	}
	ck_assert_int_gt(refused, 100);
	ck_assert_int_gt(recovered, 100);
}
END_TEST

TEST(lost_meta_is_refused)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct fake_disk disk;
	struct node n;

	fake_disk_init(&disk, 1);
	ck_assert_int_eq(open_node(&n, &disk.disk, &why), 0);
	node_fini(&n);
	ck_assert(fake_disk_flip(&disk, "meta", META_SLOT_SIZE + 20));
	ck_assert_int_eq(open_node(&n, &disk.disk, &why), ST_CORRUPT);
	ck_assert_int_eq(str_find_str(buf_str(&why), STR("meta: its term 0 is older")), 0);
	fake_disk_fini(&disk);
}
END_TEST

static struct uuid life_of(struct fake_disk *disk, uint8_t offered)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct node_options options = options_of(&disk->disk);
	struct uuid life;
	struct node n;

	options.life.b[0] = offered;
	ck_assert_int_eq(node_init(&n, &options, &why), 0);
	life = n.raft.persistent.life;
	node_fini(&n);
	return life;
}

/* A disk has one life, from before anybody can have heard of it; a new one another. */
TEST(each_disk_has_a_life)
{
	struct fake_disk disk;

	fake_disk_init(&disk, 1);
	ck_assert_uint_eq(life_of(&disk, 3).b[0], 3);
	fake_disk_power_cut(&disk);
	ck_assert_uint_eq(life_of(&disk, 4).b[0], 3);
	fake_disk_fini(&disk);
	fake_disk_init(&disk, 2);
	ck_assert_uint_eq(life_of(&disk, 5).b[0], 5);
	fake_disk_fini(&disk);
}
END_TEST

static void le32_put(char *at, uint32_t v)
{
	memcpy(at, &v, sizeof(v));
}

/* The record of the release before: another magic, and no life. */
TEST(meta_of_before_is_read)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct raft_persistent p = { .life = { { 9 } }, .term = 12, .vote = { { 5 } } };
	struct raft_persistent back;
	struct fake_disk disk;
	struct disk_file *f;
	struct meta *m;
	char slot[META_SLOT_SIZE];
	uint32_t length;
	uint64_t size;

	fake_disk_init(&disk, 1);
	ck_assert_int_eq(meta_open(&disk.disk, &m, &back, &why), 0);
	ck_assert_int_eq(meta_write(m, &p), 0);
	meta_free(m);
	ck_assert_int_eq(disk_open(&disk.disk, "meta", &f, &size), 0);
	ck_assert_int_eq(disk_read(f, META_SLOT_SIZE, slot, sizeof(slot)), 0);
	memcpy(&length, slot + 8, sizeof(length));
	slot[7] = '2';
	memmove(slot + 16, slot + 16 + sizeof(p.life.b), length - sizeof(p.life.b));
	length -= sizeof(p.life.b);
	le32_put(slot + 8, length);
	le32_put(slot + 12, crc32c(0, slot + 16, length));
	ck_assert_int_eq(disk_write(f, META_SLOT_SIZE, slot, sizeof(slot)), 0);
	disk_close(f);
	ck_assert_int_eq(meta_open(&disk.disk, &m, &back, &why), 0);
	meta_free(m);
	ck_assert_uint_eq(back.term, 12);
	ck_assert_uint_eq(back.vote.b[0], 5);
	ck_assert(uuid_is_zero(&back.life));
	fake_disk_fini(&disk);
}
END_TEST

TEST(full_disk_refuses_and_recovers)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	char bytes[1000];
	struct fake_disk disk;
	struct node n;
	uint64_t index = 0;
	struct mono now = { NS_PER_S };
	int r;

	fake_disk_init(&disk, 1);
	ck_assert_int_eq(open_node(&n, &disk.disk, &why), 0);
	disk.capacity = fake_disk_bytes(&disk);
	while ((r = node_propose(&n, now, body_of(n.raft.trail.last + 1, bytes), &index)) == 0) {
	}
	ck_assert_int_eq(r, ST_STORAGE);
	node_advance(&n, now);
	/* It leads on and what it accepted is committed; nothing half-made is left behind. */
	ck_assert_int_eq(n.raft.role, RAFT_LEADER);
	ck_assert_uint_eq(n.raft.commit_index, index);
	ck_assert_uint_eq(fake_disk_bytes(&disk), disk.capacity);
	disk.capacity = 0;
	propose_through(&n, index + 50);
	check_bodies(&n, 1, index + 50);
	node_fini(&n);
	fake_disk_fini(&disk);
}
END_TEST

/* Call number `at` of the disk fails; whatever was acknowledged must be there at the end. false:
 * there is no such call. */
static bool walk(uint64_t at, bool power_cut)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	char bytes[1000];
	struct mono now = { NS_PER_S };
	struct fake_disk disk;
	struct node n;
	uint64_t index, commit;
	bool live, reached;

	fake_disk_init(&disk, at);
	disk.fail_at = at;
	live = open_node(&n, &disk.disk, &why) == 0;
	if (!live) {
		ck_assert_int_eq(open_node(&n, &disk.disk, &why), 0);
	}
	for (int i = 0; i < 150; i++) {
		now = mono_add_ms(now, 10);
		node_tick(&n, now);
		if (node_propose(&n, now, body_of(n.raft.trail.last + 1, bytes), &index) == 0 &&
			i % 4 == 0) {
			node_advance(&n, now);
		}
		if (i % 40 == 39) {
			node_snapshot_taken(&n, now, n.raft.commit_index, raft_last_term(&n.raft));
		}
		log_prepare(n.log);
		raft_check(&n.raft);
	}
	reached = disk.calls >= at;
	node_advance(&n, now);
	commit = n.raft.commit_index;
	ck_assert_uint_gt(commit, 50);
	node_fini(&n);
	if (power_cut) {
		fake_disk_power_cut(&disk);
	}
	disk.fail_at = 0;
	ck_assert_int_eq(open_node(&n, &disk.disk, &why), 0);
	ck_assert_uint_gt(n.raft.commit_index, commit);
	check_bodies(&n, n.log->first_index, commit);
	node_fini(&n);
	fake_disk_fini(&disk);
	return reached;
}

TEST(fault_walk)
{
	uint64_t at = 1;

	while (walk(at, false) && walk(at, true)) {
		at++;
	}
	ck_assert_uint_gt(at, 100);
}
END_TEST

TEST(the_real_disk)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	char directory[] = "/tmp/muster-log-XXXXXX", command[64];
	struct disk *disk, *second;
	struct node n;

	ck_assert(mkdtemp(directory));
	ck_assert_int_eq(disk_real_new(directory, &disk), 0);
	ck_assert_int_lt(disk_real_new(directory, &second), 0); /* locked */
	ck_assert_int_eq(open_node(&n, disk, &why), 0);
	propose_through(&n, 300);
	node_fini(&n);
	ck_assert_int_eq(open_node(&n, disk, &why), 0);
	check_bodies(&n, 1, 300);
	node_fini(&n);
	disk_real_free(disk);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

UNIT_MAIN("raft_log", rotates_and_reads_back, trailing_bytes, large_entries, damage_is_refused,
	lost_meta_is_refused, each_disk_has_a_life, meta_of_before_is_read,
	full_disk_refuses_and_recovers, fault_walk, the_real_disk)
