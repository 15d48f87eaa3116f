/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure parts of the command line: flags in Go's syntax and its error texts, tables.
 */
#include "tests/unit/unit.h"

#include "ctl/flags.h"
#include "ctl/table.h"

struct values {
	bool yes;
	const char *text;
	int64_t number, duration_ns;
	uint64_t index;
	struct flag_list list, other;
};

/* Parses words separated by spaces. */
static int parse(char *words, struct values *v, struct flagset *f, struct buf *why)
{
	char *argv[16];
	int argc = 0;

	*f = (struct flagset) { .count = 0 };
	flag_add(f, "yes", FLAG_BOOL, &v->yes, "");
	flag_add(f, "text", FLAG_TEXT, &v->text, "");
	flag_add(f, "number", FLAG_INT, &v->number, "");
	flag_add(f, "index", FLAG_UINT, &v->index, "");
	flag_add(f, "wait", FLAG_DURATION, &v->duration_ns, "");
	flag_add(f, "file", FLAG_TEXTS, &v->list, "");
	flag_add(f, "dir", FLAG_TEXTS, &v->list, "");
	for (char *word = words; word; argc++) {
		argv[argc] = word;
		word = strchr(word, ' ');
		if (word) {
			*word++ = 0;
		}
	}
	return flags_parse(f, argc, argv, why);
}

TEST(test_flags)
{
	char words[] = "-yes --text=a=b -number -5 -index=7 -wait 1m30s -file a -dir b -file=c "
		       "rest -yes=false";
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct values v = { 0 };
	struct flagset f;

	ck_assert_int_eq(parse(words, &v, &f, &why), 12);
	ck_assert(v.yes);
	ck_assert_str_eq(v.text, "a=b");
	ck_assert_int_eq(v.number, -5);
	ck_assert_uint_eq(v.index, 7);
	ck_assert_int_eq(v.duration_ns, 90000000000LL);
	ck_assert_uint_eq(v.list.count, 3);
	ck_assert_str_eq(v.list.items[1], "b");
	ck_assert_str_eq(v.list.flags[1], "dir");
	ck_assert(flag_given(&f, "yes") && !flag_given(&f, "nothing"));
}
END_TEST

TEST(test_flags_end)
{
	char dashes[] = "-yes -- -text", lone[] = "- -yes";
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct values v = { 0 };
	struct flagset f;

	ck_assert_int_eq(parse(dashes, &v, &f, &why), 2);
	ck_assert_int_eq(parse(lone, &v, &f, &why), 0);
}
END_TEST

TEST(test_flags_refused)
{
	static const char *const cases[][2] = {
		{ "-bogus", "flag provided but not defined: -bogus" },
		{ "--bogus=1", "flag provided but not defined: -bogus" },
		{ "-text", "flag needs an argument: -text" },
		{ "-number x", "invalid value \"x\" for flag -number: parse error" },
		{ "-index -1", "invalid value \"-1\" for flag -index: parse error" },
		{ "-yes=maybe", "invalid boolean value \"maybe\" for -yes: parse error" },
		{ "---yes", "bad flag syntax: ---yes" },
		{ "-=1", "bad flag syntax: -=1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		OWN(free) char *words = xstrdup(cases[i][0]);
		struct values v = { 0 };
		struct flagset f;

		ck_assert_int_eq(parse(words, &v, &f, &why), -ST_INVALID);
		ck_buf_is(&why, cases[i][1]);
	}
}
END_TEST

TEST(test_flags_help)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, help = { 0 };
	char words[] = "-yes -help";
	struct values v = { 0 };
	struct flagset f;

	ck_assert_int_eq(parse(words, &v, &f, &why), -ST_NOT_FOUND);
	f = (struct flagset) { .count = 0 };
	flag_add(&f, "b", FLAG_TEXT, &v.text, "Second.");
	flag_add(&f, "a", FLAG_BOOL, &v.yes, "First.");
	flags_end_own(&f);
	flags_render(&f, &help);
	ck_buf_is(&help, "Command Options\n\n  -a\n     First.\n\n  -b=<value>\n     Second.\n\n");
}
END_TEST

TEST(test_table)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	OWN_EMBEDDED(table_fini) struct table t;

	table_init(&t, 3);
	TABLE_ROW(&t, "Node", "ID", "DC");
	TABLE_ROW(&t, "n\xc3\xa4mlich", "", "dc1");
	table_render(&t, &out);
	ck_buf_is(&out, "Node     ID  DC\nn\xc3\xa4mlich      dc1\n");
}
END_TEST

UNIT_MAIN("ctl", test_flags, test_flags_end, test_flags_refused, test_flags_help, test_table)
