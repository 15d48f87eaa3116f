/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raftd/recovery: what peers.json may say, and when it is put aside.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raftd/raftd.h"
#include "tests/unit/unit.h"

#define ID_A "00000000-0000-0000-0000-00000000000a"
#define ID_B "00000000-0000-0000-0000-00000000000b"

/* -------- a server -------- */

struct server {
	char data_dir[32];
	struct conf conf;
	struct daemon daemon;
	struct disk disk;
	unsigned syncs; /* of the names */
	struct raftd raftd;
};

static int sync_names(struct disk *d)
{
	container_of(d, struct server, disk)->syncs++;
	return 0;
}

static void server_init(struct server *s)
{
	static const struct disk_ops ops = { .sync_names = sync_names };
	char path[64];

	*s = (struct server) { .data_dir = "/tmp/muster-recovery-XXXXXX", .disk = { &ops } };
	ck_assert_ptr_nonnull(mkdtemp(s->data_dir));
	snprintf(path, sizeof(path), "%s/raft", s->data_dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	s->conf.data_dir = str_of(s->data_dir);
	s->daemon.conf = &s->conf;
	s->raftd.daemon = &s->daemon;
	s->raftd.disk = &s->disk;
}

static void server_fini(struct server *s)
{
	OWN_EMBEDDED(buf_fini) struct buf command = { 0 };

	buf_printf(&command, "rm -r %s", s->data_dir);
	ck_assert_int_eq(system(buf_cstr(&command)), 0);
}

static void path_of(const struct server *s, const char *name, char out[64])
{
	snprintf(out, 64, "%s/raft/%s", s->data_dir, name);
}

static void file_write(const struct server *s, const char *text)
{
	char path[64];
	int fd;

	path_of(s, "peers.json", path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static bool is_there(const struct server *s, const char *name)
{
	char path[64];

	path_of(s, name, path);
	return access(path, F_OK) == 0;
}

/* -------- tests -------- */

TEST(none_is_fine)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct server s;

	server_init(&s);
	ck_assert_int_eq(raftd_recovery_read(&s.raftd, &why), 0);
	ck_assert(!s.raftd.recovered);
	raftd_recovery_turn(&s.raftd);
	ck_assert_uint_eq(s.syncs, 0);
	server_fini(&s);
}
END_TEST

TEST(what_makes_no_sense_is_refused)
{
	static const char *const texts[] = {
		"",
		"{}",
		"[]",
		"[{\"id\": \"" ID_A "\"}]",
		"[{\"address\": \"1.1.1.1:1\"}]",
		"[{\"id\": \"" ID_A "\", \"address\": \"name:1\"}]",
		"[{\"id\": \"" ID_A "\", \"address\": \"1.1.1.1:1\", \"non_voter\": true}]",
		"[{\"id\": \"" ID_A "\", \"address\": \"1.1.1.1:1\"},"
		" {\"id\": \"" ID_A "\", \"address\": \"1.1.1.2:1\"}]",
	};
	struct server s;

	server_init(&s);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

		file_write(&s, texts[i]);
		s.raftd.recovery = (struct configuration) { .count = 0 };
		ck_assert_int_eq(raftd_recovery_read(&s.raftd, &why), ST_INVALID);
		ck_assert(why.n && !s.raftd.recovered);
	}
	server_fini(&s);
}
END_TEST

/* The disk refused what the core wants stored at the start: what a file says that is away already
 * would be lost with this process. And one that came back after a power cut would be applied again.
 */
TEST(it_is_put_aside_when_it_is_stored)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct server s;

	server_init(&s);
	file_write(&s,
		"[{\"id\": \"" ID_A "\", \"address\": \"1.1.1.1:8300\"},"
		" {\"id\": \"" ID_B "\", \"address\": \"1.1.1.2:8300\", \"non_voter\": true}]");
	ck_assert_int_eq(raftd_recovery_read(&s.raftd, &why), 0);
	ck_assert(s.raftd.recovered && why.n == 0);
	ck_assert_uint_eq(s.raftd.recovery.count, 2);
	ck_assert_uint_eq(configuration_voters(&s.raftd.recovery), 1);
	ck_assert_str_eq(s.raftd.recovery.servers[1].address, "1.1.1.2:8300");
	s.raftd.node.raft.persisting = true;
	raftd_recovery_turn(&s.raftd);
	ck_assert(is_there(&s, "peers.json"));
	s.raftd.node.raft.persisting = false;
	raftd_recovery_turn(&s.raftd);
	ck_assert(!is_there(&s, "peers.json") && is_there(&s, "peers.json.applied"));
	ck_assert_uint_eq(s.syncs, 1);
	raftd_recovery_turn(&s.raftd);
	ck_assert_uint_eq(s.syncs, 1);
	server_fini(&s);
}
END_TEST

UNIT_MAIN("raft_recovery", none_is_fine, what_makes_no_sense_is_refused,
	it_is_put_aside_when_it_is_stored)
