/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster snapshot: save, restore, inspect.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "ctl/api.h"
#include "ctl/archive.h"
#include "ctl/commands.h"

/* The one FILE argument, or NULL after a complaint. */
static const char *file_argument(int at, int argc, char **argv)
{
	if (at == argc) {
		ctl_fail("Missing FILE argument");
		return NULL;
	}
	if (argc - at > 1) {
		ctl_fail("Too many arguments (expected 1, got %d)", argc - at);
		return NULL;
	}
	return argv[at];
}

static const char *open_error(void)
{
	return errno == ENOENT ? "no such file or directory" : strerror(errno);
}

static int meta_parse(const struct archive *a, struct arena *arena, struct json **out)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

	if (json_parse(arena, buf_str(&a->meta), out, &why)) {
		return ctl_fail("Error verifying snapshot: failed to read snapshot file: %s",
			buf_cstr(&why));
	}
	return 0;
}

/* ---- save ---- */

static bool on_data(void *arg, struct str data)
{
	return fwrite(data.p, 1, data.n, arg) == data.n;
}

static int download(struct api *api, FILE *to)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

	buf_put_lit(&path, "/v1/snapshot");
	if (api_stream(api, "GET", &path, NULL, on_data, to, &answer)) {
		return ctl_fail("Error saving snapshot: %s", api_error(api));
	}
	if (fflush(to) || ferror(to) || fsync(fileno(to))) {
		return ctl_fail("Error writing snapshot file: %s", strerror(errno));
	}
	return 0;
}

/* Nothing unverified ever has the name that was asked for. */
static int save(struct api *api, const char *file, const char *unverified)
{
	OWN_EMBEDDED(archive_fini) struct archive archive = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	int fd = open(unverified, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;
	FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
	struct json *meta;

	if (!to) {
		return ctl_fail(
			"Error creating snapshot file: open %s: %s", unverified, open_error());
	}
	r = download(api, to);
	fclose(to);
	if (r) {
		return r;
	}
	if (archive_read(unverified, &archive, &why)) {
		return ctl_fail("Error verifying snapshot file: %s", buf_cstr(&why));
	}
	if (meta_parse(&archive, &api->arena, &meta)) {
		return 1;
	}
	if (rename(unverified, file)) {
		return ctl_fail(
			"Error renaming \"%s\" to \"%s\": %s", unverified, file, strerror(errno));
	}
	ctl_say("Saved and verified snapshot to index %s", field_text(meta, "Index"));
	return 0;
}

int snapshot_save_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf unverified = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flagset f = { 0 };
	const char *file;
	int at = api_begin(c, &api, &f, true, "snapshot save [options] FILE",
		    "Saves the whole state into a file.", argc, argv),
	    r;

	if (at < 0) {
		return -1 - at;
	}
	file = file_argument(at, argc, argv);
	if (!file) {
		return 1;
	}
	buf_printf(&unverified, "%s.unverified%d", file, (int)getpid());
	r = save(&api, file, buf_cstr(&unverified));
	if (r) {
		unlink(buf_cstr(&unverified));
	}
	return r;
}

/* ---- restore ---- */

int snapshot_restore_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flagset f = { 0 };
	const char *file;
	FILE *from;
	int at = api_begin(c, &api, &f, true, "snapshot restore [options] FILE",
		    "Replaces the whole state by that of a file.", argc, argv),
	    r;

	if (at < 0) {
		return -1 - at;
	}
	file = file_argument(at, argc, argv);
	if (!file) {
		return 1;
	}
	from = fopen(file, "re");
	if (!from) {
		return ctl_fail("Error opening snapshot file: open %s: %s", file, open_error());
	}
	buf_put_lit(&path, "/v1/snapshot");
	r = api_stream(&api, "PUT", &path, from, NULL, NULL, &answer);
	fclose(from);
	if (r) {
		return ctl_fail("Error restoring snapshot: %s", api_error(&api));
	}
	ctl_say("Restored snapshot");
	return 0;
}

/* ---- inspect ---- */

int snapshot_inspect_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(archive_fini) struct archive archive = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct flagset f = { 0 };
	struct json *meta;
	const char *file;
	int at;

	flags_end_own(&f);
	at = ctl_begin(c, &f, "snapshot inspect FILE",
		"Checks a snapshot file and shows what it is.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	file = file_argument(at, argc, argv);
	if (!file) {
		return 1;
	}
	if (access(file, R_OK)) {
		return ctl_fail("Error opening snapshot file: open %s: %s", file, open_error());
	}
	if (archive_read(file, &archive, &why)) {
		return ctl_fail("Error verifying snapshot: %s", buf_cstr(&why));
	}
	if (meta_parse(&archive, &arena, &meta)) {
		return 1;
	}
	printf("%-13s%s\n", "ID", field_text(meta, "ID"));
	printf("%-13s%llu\n", "Size", (unsigned long long)archive.size);
	printf("%-13s%s\n", "Index", field_text(meta, "Index"));
	printf("%-13s%s\n", "Term", field_text(meta, "Term"));
	printf("%-13s%s\n\n", "Version", field_text(meta, "Version"));
	return 0;
}
