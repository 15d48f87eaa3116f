/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every unit test starts with: TEST(name) { ... } bodies, UNIT_MAIN("suite", name, name, ...),
 * and a few comparisons that print well.
 */
#ifndef MUSTER_TESTS_UNIT_UNIT_H
#define MUSTER_TESTS_UNIT_UNIT_H

#include <check.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"

#define TEST(name) START_TEST(name)
#define ck_str_is(s, expected)                                                           \
	do {                                                                             \
		struct str got_ = (s);                                                   \
		ck_assert_msg(str_is(got_, (expected)), "\"" STR_FMT "\" is not \"%s\"", \
			STR_ARG(got_), (expected));                                      \
	} while (0)
#define ck_buf_is(b, expected) ck_str_is(buf_str(b), expected)

#define UNIT_MAIN(suite_name, ...)                               \
	int main(void)                                           \
	{                                                        \
		const TTest *const tests[] = { __VA_ARGS__ };    \
		Suite *suite = suite_create(suite_name);         \
		TCase *tests_case = tcase_create("all");         \
		SRunner *runner;                                 \
		int failed;                                      \
                                                                 \
		tcase_set_timeout(tests_case, 60);               \
		for (size_t i = 0; i < ARRAY_SIZE(tests); i++) { \
			tcase_add_test(tests_case, tests[i]);    \
		}                                                \
		suite_add_tcase(suite, tests_case);              \
		runner = srunner_create(suite);                  \
		srunner_run_all(runner, CK_NORMAL);              \
		failed = srunner_ntests_failed(runner);          \
		srunner_free(runner);                            \
		return failed != 0;                              \
	}

#endif
