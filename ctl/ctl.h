/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster, the command-line tool: a table of commands (main.c), one file per group of them. Each
 * understands the arguments of the `consul` tool's command of the same name. Called through a link
 * named consul it calls itself so in its texts.
 *
 * A command gets the words behind its name and returns the exit status. Results go to stdout,
 * complaints to stderr.
 */
#ifndef MUSTER_CTL_CTL_H
#define MUSTER_CTL_CTL_H

#include "ctl/flags.h"

struct ctl {
	const char *program; /* "muster" or "consul" */
};

struct command {
	const char *name;
	const char *synopsis;
	int (*run)(struct ctl *c, int argc, char **argv); /* NULL: a group */
	const struct command *sub;
	size_t sub_count;
	const char *about; /* of a group: a sentence or two for its help */
};

#define COMMANDS(array) (array), ARRAY_SIZE(array)

/* Runs a group's sub-command; shows the group's help where there is none. */
int group_run(struct ctl *c, const struct command *group, int argc, char **argv);

/*
 * The common begin of a command: parses flags, and on failure or -h prints what is due. Returns the
 * index of the first positional word, or -1 - exit status. usage: the line behind "Usage: muster ",
 * about: what the command does.
 */
int ctl_begin(struct ctl *c, struct flagset *f, const char *usage, const char *about, int argc,
	char **argv);
void ctl_help(struct ctl *c, const struct flagset *f, const char *usage, const char *about,
	struct buf *out);

/* A flag's text: an empty one is as good as none. */
static inline bool ctl_is_set(const char *text)
{
	return text && text[0];
}

__attribute__((format(printf, 1, 2))) int ctl_fail(
	const char *format, ...); /* a line to stderr; returns 1 */
__attribute__((format(printf, 1, 2))) void ctl_say(const char *format, ...); /* a line to stdout */
/* The same, and at once, where it is wanted: what -verbose shows. */
__attribute__((format(printf, 2, 3))) void ctl_tell(bool wanted, const char *format, ...);

#endif
