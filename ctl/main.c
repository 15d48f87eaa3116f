/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of commands, and the way into it.
 */
#include <stdio.h>

#include "common/base/err.h"
#include "ctl/ctl.h"

static const struct command commands[] = {
	{ "agent", "Runs the daemons of a node", agent_run, NULL, 0, NULL },
	{ "keygen", "Generates a new encryption key", keygen_run, NULL, 0, NULL },
	{ "validate", "Validate config files/directories", validate_run, NULL, 0, NULL },
	{ "version", "Prints the version", version_run, NULL, 0, NULL },
};

static int usage(struct ctl *c)
{
	size_t width = 0;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		width = max_of(width, strlen(commands[i].name));
	}
	fprintf(stderr,
		"Usage: %s [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n",
		c->program);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		fprintf(stderr, "    %-*s    %s\n", (int)width, commands[i].name,
			commands[i].synopsis);
	}
	fputc('\n', stderr);
	return 127;
}

static const char *program_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, "consul") == 0 ? "consul" : "muster";
}

int main(int argc, char **argv)
{
	struct ctl c = { .program = program_name(argc ? argv[0] : "") };
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "-v") || !strcmp(name, "-version") || !strcmp(name, "--version")) {
		return version_run(&c, 0, argv);
	}
	if (!strcmp(name, "-h") || !strcmp(name, "-help") || !strcmp(name, "--help")) {
		usage(&c);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *command = &commands[i];

		if (strcmp(name, command->name) == 0) {
			return command->run ? command->run(&c, argc - 2, argv + 2)
					    : group_run(&c, command, argc - 2, argv + 2);
		}
	}
	return usage(&c);
}
