/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs with an input: handlers of watches, scripts of remote execution. (test_runs has those
 * without, with limits and time-outs.)
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "checkd/program.h"

struct bench {
	struct loop *loop;
	struct scripts scripts;
	struct buf printed;
	struct program_end end;
	bool over;
};

static void on_output(void *arg, struct str bytes)
{
	buf_put_str(&((struct bench *)arg)->printed, bytes);
}

static void on_end(void *arg, const struct program_end *end)
{
	struct bench *b = arg;

	b->end = *end;
	b->over = true;
}

static void begin(struct bench *b)
{
	*b = (struct bench) { .loop = loop_new() };
	ck_assert_int_eq(scripts_open(SCRIPT_PROGRAM, &b->scripts), 0);
}

static void end(struct bench *b)
{
	scripts_close(&b->scripts);
	loop_free(b->loop);
	buf_fini(&b->printed);
	ck_assert_int_gt(waitpid(-1, NULL, 0), 0);
}

static void run(struct bench *b, enum program_input input_is, struct str input,
	const char *environment, const char *const words[])
{
	OWN_EMBEDDED(buf_fini) struct buf arguments = { 0 }, variables = { 0 };
	const struct program_hooks hooks = { on_output, on_end, b };
	struct program_request q = { .input_is = input_is, .input = input, .timeout_ms = 10000 };
	struct program *p;

	for (size_t i = 0; words[i]; i++) {
		program_argument(&arguments, str_of(words[i]));
	}
	if (environment) {
		program_argument(&variables, str_of(environment));
	}
	q.arguments = buf_str(&arguments);
	q.environment = buf_str(&variables);
	buf_clear(&b->printed);
	b->over = false;
	ck_assert_int_eq(program_start(b->loop, &b->scripts, &q, &hooks, &p), 0);
	while (!b->over) {
		loop_run_once(b->loop);
	}
}

TEST(stdin_and_environment)
{
	static const char *const words[] = { "sh", "-c", "cat; echo $A; exit 3", NULL };
	struct bench b;

	begin(&b);
	run(&b, PROGRAM_STDIN, STR("{\"a\":1}\n"), "A=b c", words);
	ck_buf_is(&b.printed, "{\"a\":1}\nb c\n");
	ck_assert(WIFEXITED(b.end.status) && WEXITSTATUS(b.end.status) == 3);
	run(&b, PROGRAM_STDIN, STR(""), "A=", words);
	ck_buf_is(&b.printed, "\n");
	run(&b, PROGRAM_NO_INPUT, STR_NONE, NULL, words);
	ck_buf_is(&b.printed, "\n");
	end(&b);
}
END_TEST

/* More than any pipe holds, and nobody reads it. */
TEST(input_may_be_left_unread)
{
	static const char *const ignores[] = { "true", NULL }, *const counts[] = { "wc", "-c",
		NULL };
	OWN_EMBEDDED(buf_fini) struct buf large = { 0 };
	struct bench b;

	memset(buf_reserve(&large, 5 << 20), 'x', 5 << 20);
	large.n = 5 << 20;
	begin(&b);
	run(&b, PROGRAM_STDIN, buf_str(&large), NULL, ignores);
	ck_assert_int_eq(b.end.status, 0);
	run(&b, PROGRAM_STDIN, buf_str(&large), NULL, counts);
	ck_buf_is(&b.printed, "5242880\n");
	end(&b);
}
END_TEST

TEST(scripts_become_files_for_a_while)
{
	static const char *const words[] = { "/bin/sh", "-c", NULL };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	struct bench b;

	begin(&b);
	run(&b, PROGRAM_INPUT_SCRIPT, STR("#!/bin/sh\nread x; echo \"$0\"$x; stat -c %a \"$0\"\n"),
		NULL, words);
	ck_assert_int_eq(b.end.error, 0);
	ck_assert(str_ends(buf_str(&b.printed), STR("\n750\n")));
	buf_put_str(&path, str_cut(buf_str(&b.printed), b.printed.n - 5));
	while (access(buf_cstr(&path), F_OK) == 0) { /* the runner removes it behind the end */
		usleep(1000);
	}
	/* without a first line that says who runs it: the shell does */
	run(&b, PROGRAM_INPUT_SCRIPT, STR("echo plain; exit 4\n"), NULL, words);
	ck_buf_is(&b.printed, "plain\n");
	ck_assert_int_eq(WEXITSTATUS(b.end.status), 4);
	end(&b);
}
END_TEST

TEST(what_cannot_start_is_told)
{
	static const char *const words[] = { "/nowhere/at/all", NULL };
	struct bench b;

	begin(&b);
	run(&b, PROGRAM_STDIN, STR("x"), NULL, words);
	ck_assert_int_eq(b.end.error, ENOENT);
	end(&b);
}
END_TEST

/* A runner that never answers is what a program looks like that the kernel does not let go of. */
TEST(what_cannot_be_killed_is_given_up)
{
	struct program_request q = { .arguments = str_n("x", 2), .timeout_ms = 20 };
	struct bench b = { .loop = loop_new() };
	const struct program_hooks hooks = { on_output, on_end, &b };
	struct program *p;
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	b.scripts = (struct scripts) { .server = ends[0] };
	list_init(&b.scripts.stuck);
	ck_assert_int_eq(program_start(b.loop, &b.scripts, &q, &hooks, &p), 0);
	while (!b.over) {
		loop_run_once(b.loop);
	}
	ck_assert(b.end.timed_out && b.end.error == 0);
	ck_assert_uint_eq(b.scripts.stuck_count, 1);
	b.scripts.stuck_count = PROGRAM_STUCK_MAX; /* no more are started */
	ck_assert_int_eq(program_start(b.loop, &b.scripts, &q, &hooks, &p), EAGAIN);
	b.scripts.stuck_count = 1;
	close(ends[1]); /* it is gone at last */
	while (b.scripts.stuck_count) {
		loop_run_once(b.loop);
	}
	scripts_close(&b.scripts);
	loop_free(b.loop);
}
END_TEST

UNIT_MAIN("program", what_cannot_be_killed_is_given_up, stdin_and_environment,
	input_may_be_left_unread, scripts_become_files_for_a_while, what_cannot_start_is_told)
