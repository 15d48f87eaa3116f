/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all commands share: help, complaints, groups of sub-commands.
 */
#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/err.h"

int ctl_fail(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return 1;
}

void ctl_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

void ctl_tell(bool wanted, const char *format, ...)
{
	va_list args;

	if (wanted) {
		va_start(args, format);
		vprintf(format, args);
		va_end(args);
		putchar('\n');
		fflush(stdout);
	}
}

void ctl_help(struct ctl *c, const struct flagset *f, const char *usage, const char *about,
	struct buf *out)
{
	buf_printf(out, "Usage: %s %s\n\n  %s\n\n", c->program, usage, about);
	flags_render(f, out);
}

int ctl_begin(struct ctl *c, struct flagset *f, const char *usage, const char *about, int argc,
	char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, help = { 0 };
	int at = flags_parse(f, argc, argv, &why);

	if (at >= 0) {
		return at;
	}
	ctl_help(c, f, usage, about, &help);
	if (at == -ST_NOT_FOUND) {
		fputs(buf_cstr(&help), stdout);
		return -1 - 0;
	}
	fprintf(stderr, "%s\n%s", buf_cstr(&why), buf_cstr(&help));
	return -1 - 1;
}

static void group_help(struct ctl *c, const char *path, const struct command *group, FILE *to)
{
	size_t width = 0;

	for (size_t i = 0; i < group->sub_count; i++) {
		width = max_of(width, strlen(group->sub[i].name));
	}
	fprintf(to, "Usage: %s %s <subcommand> [options] [args]\n\n  %s\n\nSubcommands:\n",
		c->program, path, group->about);
	for (size_t i = 0; i < group->sub_count; i++) {
		fprintf(to, "    %-*s    %s\n", (int)width, group->sub[i].name,
			group->sub[i].synopsis);
	}
}

static bool is_help(const char *word)
{
	return !strcmp(word, "-h") || !strcmp(word, "-help") || !strcmp(word, "--help");
}

static int group_enter(
	struct ctl *c, const char *path, const struct command *group, int argc, char **argv)
{
	for (size_t i = 0; argc && i < group->sub_count; i++) {
		const struct command *sub = &group->sub[i];
		OWN_EMBEDDED(buf_fini) struct buf sub_path = { 0 };

		if (strcmp(argv[0], sub->name)) {
			continue;
		}
		if (sub->run) {
			return sub->run(c, argc - 1, argv + 1);
		}
		buf_printf(&sub_path, "%s %s", path, sub->name);
		return group_enter(c, buf_cstr(&sub_path), sub, argc - 1, argv + 1);
	}
	if (argc && is_help(argv[0])) {
		group_help(c, path, group, stdout);
		return 0;
	}
	group_help(c, path, group, stderr);
	return 1;
}

int group_run(struct ctl *c, const struct command *group, int argc, char **argv)
{
	return group_enter(c, group->name, group, argc, argv);
}
