/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/base/template: what texts with ${...} say, and the words about those that say nothing.
 */
#include "tests/unit/unit.h"

#include "common/base/template.h"

static bool variable(void *arg, struct str name, struct str *value_out)
{
	if (str_eq(name, STR("name.full"))) {
		*value_out = STR("geo-web");
	} else if (str_eq(name, STR("six"))) {
		*value_out = STR("6");
	} else {
		return false;
	}
	return true;
}

static struct str match(void *arg, int64_t number)
{
	return number == 1 ? STR("one") : STR("");
}

static const struct template_scope scope = { variable, match, NULL };

struct row {
	const char *text, *expected;
};

TEST(test_says)
{
	static const struct row rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "${name.full}", "geo-web" },
		{ "a${name.full}b", "ageo-webb" },
		{ "${ name.full }${match(1)}", "geo-webone" },
		{ "${match(2)}", "" },
		{ "${match(-1)}", "" },
		{ "${match( 0 + 1 )}", "one" },
		{ "${match(\"1\")}", "one" },
		{ "${\"x${name.full}\\\"\\\\\\n$$\"}", "xgeo-web\"\\\n$" },
		{ "${\"\"}", "" },
		{ "${1+2*3}", "9" }, /* from left to right */
		{ "${1+(2*3)}", "7" },
		{ "${-2}", "-2" },
		{ "${--2 - 1}", "1" },
		{ "${7/2}|${7%4}|${-7/2}", "3|3|-3" },
		{ "${six+1}", "7" },
		{ "${010}", "8" },
		{ "${9223372036854775807 + 1}", "-9223372036854775808" },
		{ "${(-9223372036854775807 - 1) / -1}", "-9223372036854775808" },
		{ "${(-9223372036854775807 - 1) % -1}", "0" },
		{ "$", "$" },
		{ "$$", "$" },
		{ "$${name.full}", "${name.full}" },
		{ "a$b}{", "a$b}{" },
		{ "\xc3\xa9${six}", "\xc3\xa9"
				    "6" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		struct str out, text = str_of(rows[i].text);

		ck_assert_msg(!template_render(text, &scope, &arena, &out, &why), "%s: %s",
			rows[i].text, buf_cstr(&why));
		ck_str_is(out, rows[i].expected);
		ck_assert_int_eq(template_check(text, NULL), 0);
	}
}
END_TEST

TEST(test_malformed)
{
	static const char *const texts[] = { "${", "${}", "a${name.full", "${\"}", "${match(}",
		"${match(1}", "${match(1 2)}", "${(1}", "${1 2}", "${1+}", "${?}", "${a b}",
		"${\"a\" \"b\"}", "${08}", "${99999999999999999999}", "${1.5}" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

		ck_assert_msg(template_check(str_of(texts[i]), &why) == ST_INVALID, "%s", texts[i]);
		ck_buf_is(&why, "parse error: syntax error");
	}
}
END_TEST

TEST(test_says_nothing)
{
	static const struct row rows[] = {
		{ "${nope}", "1:3: unknown variable accessed: nope" },
		{ "a ${nope}", "1:5: unknown variable accessed: nope" },
		{ "\xc3\xa9${nope}", "1:4: unknown variable accessed: nope" },
		{ "\n\n ${nope}", "3:5: unknown variable accessed: nope" },
		{ "${nope(1)}", "1:3: unknown function called: nope" },
		{ "${match()}", "1:3: match: expected 1 arguments, got 0" },
		{ "${match(1, 2)}", "1:3: match: expected 1 arguments, got 2" },
		{ "${match(name.full)}",
			"__builtin_StringToInt: strconv.ParseInt: parsing \"geo-web\": invalid "
			"syntax" },
		{ "${1/0}", "__builtin_IntMath: divide by zero" },
		{ "${1%(2-2)}", "__builtin_IntMath: divide by zero" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		struct str out, text = str_of(rows[i].text);

		ck_assert_int_eq(template_check(text, NULL), 0);
		ck_assert_int_eq(template_render(text, &scope, &arena, &out, &why), ST_INVALID);
		ck_buf_is(&why, rows[i].expected);
	}
}
END_TEST

TEST(test_depth_is_bounded)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

	buf_put_lit(&text, "${");
	for (int i = 0; i < 100000; i++) {
		buf_put_char(&text, '(');
	}
	ck_assert_int_eq(template_check(buf_str(&text), &why), ST_INVALID);
	ck_buf_is(&why, "parse error: nested too deeply");
	buf_clear(&text);
	buf_clear(&why);
	for (int i = 0; i < 100000; i++) {
		buf_put_lit(&text, "${\"");
	}
	ck_assert_int_eq(template_check(buf_str(&text), &why), ST_INVALID);
	ck_buf_is(&why, "parse error: nested too deeply");
	buf_clear(&text);
	buf_put_lit(&text, "${");
	for (int i = 0; i < 100000; i++) {
		buf_put_char(&text, '-');
	}
	buf_put_lit(&text, "1}");
	ck_assert_int_eq(template_check(buf_str(&text), NULL), 0);
}
END_TEST

UNIT_MAIN("template", test_says, test_malformed, test_says_nothing, test_depth_is_bounded)
