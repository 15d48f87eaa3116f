/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Script checks: a program, its output, and Nagios' exit codes.
 */
#include <errno.h>
#include <sys/wait.h>

#include "checkd/program.h"
#include "checkd/run.h"
#include "common/base/process.h"
#include "common/base/tail.h"

struct script {
	struct run *run;
	struct program *program;
	struct tail printed;
};

static void script_free(struct script *s)
{
	s->run->impl = NULL;
	s->run->stop = NULL;
	tail_fini(&s->printed);
	free(s);
}

/* Nobody wants the result any more. */
static void script_stop(struct run *run)
{
	struct script *s = run->impl;

	program_stop(s->program);
	script_free(s);
}

static void output_render(const struct script *s, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf tail = { 0 };

	tail_render(&s->printed, &tail);
	output_tail(out, buf_str(&tail), s->printed.total, s->printed.size);
}

static void timeout_render(const struct script *s, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf printed = { 0 };

	buf_put_lit(out, "Timed out (");
	duration_render(out, s->run->timeout_ms * NS_PER_MS);
	buf_put_lit(out, ") running check");
	output_render(s, &printed);
	if (printed.n) {
		buf_put_lit(out, "\n\n");
		buf_put_str(out, buf_str(&printed));
	}
}

/* Nagios' exit codes. */
static enum check_status status_of(int wait_status)
{
	if (!WIFEXITED(wait_status)) {
		return CHECK_CRITICAL;
	}
	switch (WEXITSTATUS(wait_status)) {
	case 0:
		return CHECK_PASSING;
	case 1:
		return CHECK_WARNING;
	default:
		return CHECK_CRITICAL;
	}
}

static void start_failed(struct run *run, int error)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	const struct check_def *def = run->def;

	process_render_error(
		&text, arena_str(&arena, def->shell.n ? def->shell : def->args.items[0]).p, error);
	run_done(run, CHECK_CRITICAL, buf_str(&text));
}

static void on_printed(void *arg, struct str bytes)
{
	tail_put(&((struct script *)arg)->printed, bytes);
}

static void on_end(void *arg, const struct program_end *end)
{
	OWN_EMBEDDED(buf_fini) struct buf output = { 0 };
	struct script *s = arg;
	struct run *run = s->run;

	if (end->timed_out) {
		timeout_render(s, &output);
		run_done(run, CHECK_CRITICAL, buf_str(&output));
	} else if (end->error) {
		start_failed(run, end->error);
	} else {
		output_render(s, &output);
		run_done(run, status_of(end->status), buf_str(&output));
	}
	script_free(s);
}

static int program_begin(struct script *s)
{
	OWN_EMBEDDED(buf_fini) struct buf arguments = { 0 };
	const struct check_def *def = s->run->def;
	const struct program_hooks hooks = { on_printed, on_end, s };
	struct program_request q = { .timeout_ms = s->run->timeout_ms };

	/* The Shell form: one command line for a shell of one's choice. */
	if (def->shell.n) {
		program_argument(&arguments, def->shell);
		program_argument(&arguments, STR("-c"));
	}
	for (uint32_t i = 0; i < def->args.count; i++) {
		program_argument(&arguments, def->args.items[i]);
	}
	if (def->args.count + 2 > SCRIPT_ARGUMENTS_MAX) {
		return E2BIG;
	}
	q.arguments = buf_str(&arguments);
	return program_start(s->run->loop, run_scripts(s->run), &q, &hooks, &s->program);
}

void script_start(struct run *run)
{
	struct script *s = xcalloc(1, sizeof(*s));
	int r;

	*s = (struct script) { .run = run };
	r = program_begin(s);
	if (r) {
		free(s);
		start_failed(run, r);
		return;
	}
	tail_init(&s->printed, run->output_max);
	run->impl = s;
	run->stop = script_stop;
}
