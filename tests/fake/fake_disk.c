/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each file twice: as a reader sees it, and as it would survive a power cut; a mark per sector that
 * differs.
 */
#include "tests/fake/fake_disk.h"

#include <errno.h>

#include "common/base/err.h"

struct fake_file {
	struct list link;
	char *name;
	char *cache, *stable; /* what a reader sees; what survives a power cut */
	uint64_t size, stable_size, room;
	uint8_t *dirty; /* per sector */
	bool name_synced;
	bool removed; /* but perhaps not for good: the directory was not synced */
};

struct fake_handle {
	struct disk_file file;
	struct fake_file *of;
};

static struct fake_disk *fake_of(struct disk *d)
{
	return container_of(d, struct fake_disk, disk);
}

static struct fake_file *file_of(struct disk_file *f)
{
	return container_of(f, struct fake_handle, file)->of;
}

static bool fault(struct fake_disk *d)
{
	d->calls++;
	return d->calls == d->fail_at ||
	       (d->fail_percent && rng_below(&d->rng, 100) < d->fail_percent);
}

static struct fake_file *find(struct fake_disk *d, const char *name)
{
	struct fake_file *f;

	list_for_each (f, &d->files, link) {
		if (!f->removed && strcmp(f->name, name) == 0) {
			return f;
		}
	}
	return NULL;
}

static void file_free(struct fake_file *f)
{
	list_del(&f->link);
	free(f->name);
	free(f->cache);
	free(f->stable);
	free(f->dirty);
	free(f);
}

static void grow(struct fake_file *f, uint64_t size)
{
	uint64_t room = (size + FAKE_SECTOR - 1) / FAKE_SECTOR * FAKE_SECTOR;

	if (room > f->room) {
		f->cache = xrealloc(f->cache, room);
		f->stable = xrealloc(f->stable, room);
		f->dirty = xrealloc(f->dirty, room / FAKE_SECTOR);
		memset(f->cache + f->room, 0, room - f->room);
		memset(f->stable + f->room, 0, room - f->room);
		memset(f->dirty + f->room / FAKE_SECTOR, 0, (room - f->room) / FAKE_SECTOR);
		f->room = room;
	}
	f->size = max_of(f->size, size);
}

uint64_t fake_disk_bytes(const struct fake_disk *d)
{
	const struct fake_file *f;
	uint64_t bytes = 0;

	list_for_each (f, &d->files, link) {
		bytes += f->removed ? 0 : f->size;
	}
	return bytes;
}

static int fake_list(struct disk *disk, void (*on_name)(void *arg, const char *name), void *arg)
{
	struct fake_disk *d = fake_of(disk);
	struct fake_file *f;

	if (fault(d)) {
		return err_new(-EIO, "list");
	}
	list_for_each (f, &d->files, link) {
		if (!f->removed) {
			on_name(arg, f->name);
		}
	}
	return 0;
}

static int fake_open(
	struct disk *disk, const char *name, struct disk_file **out, uint64_t *size_out)
{
	struct fake_disk *d = fake_of(disk);
	struct fake_file *f = find(d, name);
	struct fake_handle *h;

	if (fault(d)) {
		return err_new(-EIO, "open %s", name);
	}
	if (!f) {
		f = xcalloc(1, sizeof(*f));
		f->name = xstrdup(name);
		list_add_tail(&d->files, &f->link);
	}
	h = xcalloc(1, sizeof(*h));
	h->file.disk = disk;
	h->of = f;
	*out = &h->file;
	*size_out = f->size;
	return 0;
}

static int fake_remove(struct disk *disk, const char *name)
{
	struct fake_disk *d = fake_of(disk);
	struct fake_file *f = find(d, name);

	if (fault(d) || !f) {
		return err_new(-EIO, "remove %s", name);
	}
	f->removed = true;
	return 0;
}

static int fake_sync_names(struct disk *disk)
{
	struct fake_disk *d = fake_of(disk);
	struct fake_file *f;

	if (fault(d)) {
		return err_new(-EIO, "sync names");
	}
	list_for_each (f, &d->files, link) {
		f->name_synced = !f->removed;
	}
	return 0;
}

static int fake_read(struct disk_file *file, uint64_t offset, void *out, size_t n)
{
	struct fake_file *f = file_of(file);

	if (fault(fake_of(file->disk)) || offset > f->size || n > f->size - offset) {
		return err_new(-EIO, "read %s", f->name);
	}
	memcpy(out, f->cache + offset, n);
	return 0;
}

static int fake_write(struct disk_file *file, uint64_t offset, const void *p, size_t n)
{
	struct fake_disk *d = fake_of(file->disk);
	struct fake_file *f = file_of(file);
	bool failed = fault(d);

	if (offset + n > f->size && d->capacity &&
		fake_disk_bytes(d) + (offset + n - f->size) > d->capacity) {
		return err_new(-ENOSPC, "write %s", f->name);
	}
	if (failed) {
		n = (size_t)rng_below(&d->rng, n + 1); /* some of it arrived */
	}
	if (n) {
		grow(f, offset + n);
		memcpy(f->cache + offset, p, n);
		memset(f->dirty + offset / FAKE_SECTOR, 1,
			(offset + n + FAKE_SECTOR - 1) / FAKE_SECTOR - offset / FAKE_SECTOR);
	}
	return failed ? err_new(-EIO, "write %s", f->name) : 0;
}

static void sector_store(struct fake_file *f, uint64_t sector, size_t n)
{
	memcpy(f->stable + sector * FAKE_SECTOR, f->cache + sector * FAKE_SECTOR, n);
}

static int fake_sync(struct disk_file *file)
{
	struct fake_disk *d = fake_of(file->disk);
	struct fake_file *f = file_of(file);
	bool failed = fault(d);

	d->syncs++;
	for (uint64_t i = 0; i < f->room / FAKE_SECTOR; i++) {
		if (f->dirty[i] && (!failed || rng_below(&d->rng, 2))) {
			sector_store(f, i, FAKE_SECTOR);
		}
		f->dirty[i] = 0; /* after a failure too: the kernel does not try again */
	}
	if (!failed || rng_below(&d->rng, 2)) {
		f->stable_size = f->size;
	}
	return failed ? err_new(-EIO, "sync %s", f->name) : 0;
}

static void fake_close(struct disk_file *file)
{
	free(container_of(file, struct fake_handle, file));
}

void fake_disk_init(struct fake_disk *d, uint64_t seed)
{
	static const struct disk_ops ops = {
		.list = fake_list,
		.open = fake_open,
		.remove = fake_remove,
		.sync_names = fake_sync_names,
		.read = fake_read,
		.write = fake_write,
		.sync = fake_sync,
		.close = fake_close,
	};

	*d = (struct fake_disk) { .disk = { &ops } };
	rng_init(&d->rng, seed);
	list_init(&d->files);
}

void fake_disk_fini(struct fake_disk *d)
{
	struct fake_file *f, *next;

	list_for_each_safe (f, next, &d->files, link) {
		file_free(f);
	}
}

static void file_power_cut(struct fake_disk *d, struct fake_file *f)
{
	for (uint64_t i = 0; i < f->room / FAKE_SECTOR; i++) {
		if (f->dirty[i]) {
			switch (rng_below(&d->rng, 3)) {
			case 0:
				sector_store(f, i, FAKE_SECTOR);
				break;
			case 1:
				sector_store(f, i, (size_t)rng_below(&d->rng, FAKE_SECTOR));
				break;
			}
			f->dirty[i] = 0;
		}
	}
	if (rng_below(&d->rng, 2)) {
		f->stable_size = f->size;
	}
	f->size = f->stable_size;
	if (f->room) {
		memset(f->stable + f->size, 0, f->room - f->size);
		memcpy(f->cache, f->stable, f->room);
	}
}

void fake_disk_power_cut(struct fake_disk *d)
{
	struct fake_file *f, *next;

	list_for_each_safe (f, next, &d->files, link) {
		bool was_there = f->name_synced && !f->removed;

		if (!was_there && (f->name_synced || !f->removed) && rng_below(&d->rng, 2)) {
			/* The directory's change did or did not make it. */
			was_there = true;
		}
		if (!was_there) {
			file_free(f);
			continue;
		}
		f->removed = false;
		f->name_synced = true;
		file_power_cut(d, f);
	}
}

bool fake_disk_flip(struct fake_disk *d, const char *name, uint64_t offset)
{
	struct fake_file *f = find(d, name);

	if (!f || offset >= f->size) {
		return false;
	}
	f->cache[offset] ^= 1;
	f->stable[offset] ^= 1;
	return true;
}
