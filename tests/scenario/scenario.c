/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays scripts and compares, or rewrites, their traces.
 */
#include "tests/scenario/scenario.h"

#include <stdio.h>

#include "common/base/err.h"

static bool read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f) {
		perror(path);
		return false;
	}
	do {
		n = fread(buf_reserve(out, 4096), 1, 4096, f);
		out->n += n;
	} while (n);
	fclose(f);
	return true;
}

static bool write_file(const char *path, struct str text)
{
	FILE *f = fopen(path, "w");
	bool good = f && fwrite(text.p, 1, text.n, f) == text.n;

	if (!f || fclose(f) || !good) {
		perror(path);
		return false;
	}
	return true;
}

struct str scenario_verb(struct str command)
{
	struct str rest;

	return str_split(command, ' ', &rest);
}

struct str scenario_word(struct str command, const char *name)
{
	struct str rest = command;

	while (rest.p) {
		struct str word = str_split(rest, ' ', &rest), value;
		struct str key = str_split(word, '=', &value);

		if (value.p && str_is(key, name)) {
			return value;
		}
	}
	return STR_NONE;
}

uint64_t scenario_number(struct str command, const char *name)
{
	struct str text = scenario_word(command, name);
	uint64_t v = 0;

	must(!text.p || str_to_u64(text, &v) == 0);
	return v;
}

static void put_trace(struct buf *out, struct str trace)
{
	while (trace.n) {
		struct str line = str_split(trace, '\n', &trace);

		buf_put_char(out, '\t');
		buf_put_str(out, line);
		buf_put_char(out, '\n');
	}
}

static void play(const struct scenario_driver *driver, struct str script, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf trace = { 0 };
	void *state = driver->begin();

	while (script.n) {
		struct str line = str_split(script, '\n', &script);

		if (line.n && line.p[0] == '\t') {
			continue;
		}
		buf_put_str(out, line);
		buf_put_char(out, '\n');
		if (line.n == 0 || line.p[0] == '#') {
			continue;
		}
		buf_clear(&trace);
		driver->run(state, line, &trace);
		put_trace(out, buf_str(&trace));
	}
	driver->end(state);
}

static void show_difference(const char *path, struct str was, struct str is)
{
	for (int number = 1; was.n || is.n; number++) {
		struct str a = str_split(was, '\n', &was), b = str_split(is, '\n', &is);

		if (!str_eq(a, b)) {
			fprintf(stderr,
				"%s:%d: expected \"" STR_FMT "\"\n%s:%d: got      \"" STR_FMT
				"\"\n",
				path, number, STR_ARG(a), path, number, STR_ARG(b));
			return;
		}
	}
}

static bool one_file(const struct scenario_driver *driver, const char *path, bool rewrite)
{
	OWN_EMBEDDED(buf_fini) struct buf was = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf is = { 0 };

	if (!read_file(path, &was)) {
		return false;
	}
	play(driver, buf_str(&was), &is);
	if (str_eq(buf_str(&was), buf_str(&is))) {
		return true;
	}
	if (rewrite) {
		return write_file(path, buf_str(&is));
	}
	show_difference(path, buf_str(&was), buf_str(&is));
	return false;
}

int scenario_main(const struct scenario_driver *driver, int argc, char **argv)
{
	bool rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
	bool good = true;

	for (int i = rewrite ? 2 : 1; i < argc; i++) {
		good = one_file(driver, argv[i], rewrite) && good;
	}
	return good ? 0 : 1;
}
