/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that ask nobody: version, validate, keygen.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "common/base/err.h"
#include "common/base/json.h"
#include "common/client/definitions.h"
#include "common/sys/clock.h"
#include "common/sys/conf.h"
#include "ctl/commands.h"
#include "version.h"

int version_run(struct ctl *c, int argc, char **argv)
{
	const char *format = "pretty";
	struct flagset f = { 0 };

	flag_add(&f, "format", FLAG_TEXT, &format, "Output format: pretty or json.");
	flags_end_own(&f);
	if (argc) {
		int at = ctl_begin(c, &f, "version [options]", "Prints the version.", argc, argv);

		if (at < 0) {
			return -1 - at;
		}
	}
	if (strcmp(format, "json") == 0) {
		printf("{\n   \"Version\": \"%s\",\n   \"Revision\": \"muster-%s\",\n   "
		       "\"Prerelease\": \"\",\n"
		       "   \"RPC\": {\n      \"Default\": 2,\n      \"Min\": 2,\n      \"Max\": "
		       "3\n   }\n}\n",
			CONSUL_VERSION, MUSTER_VERSION);
		return 0;
	}
	if (strcmp(format, "pretty")) {
		return ctl_fail("Unknown format: %s", format);
	}
	if (strcmp(c->program, "consul") == 0) {
		printf("Consul v%s\nRevision muster-%s\n", CONSUL_VERSION, MUSTER_VERSION);
	} else {
		printf("Muster v%s\nSpeaks what Consul v%s speaks\n", MUSTER_VERSION,
			CONSUL_VERSION);
	}
	printf("Protocol 2 spoken by default, understands 2 to 3 (agent will automatically use "
	       "protocol >2 when "
	       "speaking to compatible agents)\n\n");
	return 0;
}

int keygen_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct flagset f = { 0 };
	uint8_t key[32];
	int at = ctl_begin(
		c, &f, "keygen", "Makes a key for the gossip between nodes (encrypt).", argc, argv);

	if (at < 0) {
		return -1 - at;
	}
	random_bytes(key, sizeof(key));
	base64_render(&text, key, sizeof(key));
	ctl_say("%s", buf_cstr(&text));
	return 0;
}

int validate_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, warnings = { 0 };
	OWN(free) struct conf_source *sources = xcalloc((size_t)argc, sizeof(*sources));
	OWN(conf_free) struct conf *conf = NULL;
	const char *format = "";
	struct flagset f = { 0 };
	bool quiet = false;
	size_t count = 0;
	int at;

	flag_add(&f, "quiet", FLAG_BOOL, &quiet, "Say nothing when the configuration is valid.");
	flag_add(&f, "config-format", FLAG_TEXT, &format,
		"Format of all files, whatever their names: json.");
	flags_end_own(&f);
	at = ctl_begin(c, &f, "validate [options] FILE_OR_DIRECTORY...",
		"Checks configuration files as the agent would before it starts.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (format[0] && strcmp(format, "hcl") && strcmp(format, "json")) {
		return ctl_fail("-config-format must be either 'hcl' or 'json'");
	}
	if (at == argc) {
		return ctl_fail("Must specify at least one config file or directory");
	}
	for (; at < argc; at++) {
		struct stat st;

		sources[count++] = (struct conf_source) { argv[at],
			stat(argv[at], &st) == 0 && S_ISDIR(st.st_mode), NULL };
	}
	if (conf_load(sources, count, &conf, &warnings, &why) || definitions_check(conf, &why)) {
		return ctl_fail("Config validation failed: %s", buf_cstr(&why));
	}
	fputs(buf_cstr(&warnings), stderr);
	if (!quiet) {
		ctl_say("Configuration is valid!");
	}
	return 0;
}
