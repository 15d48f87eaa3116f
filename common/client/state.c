/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One mapped environment at a time: that of the generation on catalogd's page. While the page says
 * "not ready", or names a generation that cannot be opened yet, there is no answer; an environment
 * known to be replaced is never read again.
 */
#include "common/client/state.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "common/sys/clock.h"
#include "common/sys/db.h"
#include "common/sys/log.h"
#include "common/sys/page.h"

enum { OPEN_AGAIN_MS = 20, APPLIED_TABLE = 0 };

_Static_assert((int)STATE_META == APPLIED_TABLE && (int)NAMING_META == APPLIED_TABLE,
	"META is the first table of both");

struct state_reader {
	enum state_kind kind;
	char *data_dir;
	struct page_reader *catalog, *raft;
	struct db *db;
	uint64_t generation;	  /* of db */
	struct catalog_page page; /* as last read */
	struct mono again;	  /* not before: the next attempt to open */
	struct log_limit limit;
};

struct state_reader *state_reader_new(const char *data_dir, enum state_kind kind)
{
	struct state_reader *r = xcalloc(1, sizeof(*r));

	r->kind = kind;
	r->data_dir = xstrdup(data_dir);
	r->catalog = page_reader_new("catalogd/page", sizeof(struct catalog_page));
	r->raft = page_reader_new("raftd/page", sizeof(struct raft_page));
	return r;
}

void state_reader_free(struct state_reader *r)
{
	if (r->db) {
		db_free(r->db);
	}
	page_reader_free(r->catalog);
	page_reader_free(r->raft);
	free(r->data_dir);
	free(r);
}

static void generation_open(struct state_reader *r, uint64_t generation)
{
	bool naming = r->kind == STATE_KIND_NAMING;
	char directory[PATH_MAX];
	struct db_options options = {
		.directory = directory,
		.tables = naming ? (unsigned)NAMING_TABLES_COUNT : (unsigned)STATE_TABLES_COUNT,
		.table_names = naming ? naming_table_names : state_table_names,
		.mode = DB_READ,
	};
	struct mono now = clock_mono();
	int status;

	if (mono_before(now, r->again)) {
		return;
	}
	r->again = mono_add_ms(now, OPEN_AGAIN_MS);
	if (r->db) {
		db_free(take(r->db));
	}
	if (snprintf(directory, sizeof(directory), "%s/catalogd/%s.%" PRIu64, r->data_dir,
		    naming ? "naming" : "state", generation) >= (int)sizeof(directory)) {
		return;
	}
	status = db_open(&options, &r->db);
	if (status) {
		r->db = NULL;
		if (status != ST_NOT_FOUND && log_allow(&r->limit)) {
			log_warning("state-unreadable", "directory=%s error=\"%s\"", directory,
				status < 0 ? err_text() : status_name(status));
		}
		return;
	}
	r->generation = generation;
	if (db_is_whole(r->db)) {
		r->again = (struct mono) { 0 };
	}
}

static uint64_t applied(struct kv_txn *t)
{
	struct str value;
	uint64_t index = 0;

	if (kv_get(t, APPLIED_TABLE, STR("applied"), &value) && value.n >= sizeof(index)) {
		memcpy(&index, value.p, sizeof(index));
	}
	return index;
}

int state_read(struct state_reader *r, struct kv_txn **out, uint64_t *applied_out)
{
	struct catalog_page page;
	struct kv_txn *t;

	if (!page_read(r->catalog, &page)) {
		page = r->page; /* its writer was killed while writing: until it is back, what it
				   said last */
	}
	r->page = page;
	if (!page.ready) {
		return ST_NOT_READY;
	}
	/* One that lacks tables was made by an older catalogd, which may be replaced any time. */
	if (!r->db || r->generation != page.generation || !db_is_whole(r->db)) {
		generation_open(r, page.generation);
	}
	if (!r->db || r->generation != page.generation) {
		return ST_NOT_READY;
	}
	t = db_read(r->db);
	if (!t) {
		return ST_NOT_READY;
	}
	if (applied_out) {
		*applied_out = applied(t);
	}
	*out = t;
	return 0;
}

bool state_raft_page(struct state_reader *r, struct raft_page *out)
{
	return page_read(r->raft, out);
}

bool state_catalog_page(struct state_reader *r, struct catalog_page *out)
{
	return page_read(r->catalog, out);
}
