/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/client/state: nothing before there is a state, nothing while it is not ready, and the next
 * generation as soon as the page names it.
 */
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/client/state.h"
#include "common/sys/db.h"
#include "common/sys/page.h"

static void generation_write(const char *directory, uint64_t index)
{
	struct db_options options = { directory, NAMING_TABLES_COUNT, naming_table_names, DB_WRITE,
		1 << 20 };
	OWN(db_free) struct db *db = NULL;
	struct kv_txn *t;

	ck_assert_int_eq(mkdir(directory, 0700), 0);
	ck_assert_int_eq(db_open(&options, &db), 0);
	t = db_begin(db);
	kv_put(t, NAMING_META, STR("applied"), str_n(&index, sizeof(index)));
	ck_assert_int_eq(kv_commit(t), 0);
}

TEST(test_generations)
{
	char directory[] = "/tmp/muster-test-XXXXXX";
	OWN(state_reader_free) struct state_reader *r = NULL;
	OWN(page_writer_free) struct page_writer *page = NULL;
	struct catalog_page content = { .generation = 1 };
	struct kv_txn *t;
	uint64_t applied;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
	r = state_reader_new(".", STATE_KIND_NAMING);
	ck_assert_int_eq(state_read(r, &t, NULL), ST_NOT_READY);
	ck_assert_int_eq(mkdir("catalogd", 0700), 0);
	ck_assert_int_eq(page_writer_open("catalogd/page", sizeof(content), &page), 0);
	page_publish(page, &content);
	generation_write("catalogd/naming.1", 7);
	ck_assert_int_eq(state_read(r, &t, NULL), ST_NOT_READY);
	content.ready = 1;
	page_publish(page, &content);
	ck_assert_int_eq(state_read(r, &t, &applied), 0);
	kv_abort(t);
	ck_assert_uint_eq(applied, 7);

	content.generation = 2; /* named, but not there */
	page_publish(page, &content);
	ck_assert_int_eq(state_read(r, &t, NULL), ST_NOT_READY);
	generation_write("catalogd/naming.2", 9);
	usleep(25000); /* an absent one is not looked for all the time */
	ck_assert_int_eq(state_read(r, &t, &applied), 0);
	kv_abort(t);
	ck_assert_uint_eq(applied, 9);
}
END_TEST

UNIT_MAIN("state-reader", test_generations)
