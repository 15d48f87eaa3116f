/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file layer under the log, as an interface: disk_real.c is a directory of the machine,
 * tests/sim/fake_disk.c one in memory that loses, tears and refuses on purpose. One flat directory,
 * files with short names.
 *
 * Every call returns 0 or -errno (traced). What was written is durable only after disk_sync of the
 * file; a new name only after disk_sync_names.
 */
#ifndef MUSTER_RAFTD_DISK_H
#define MUSTER_RAFTD_DISK_H

#include "common/base/str.h"

struct disk;
struct disk_file;

struct disk_ops {
	int (*list)(struct disk *d, void (*on_name)(void *arg, const char *name), void *arg);
	int (*open)(struct disk *d, const char *name, struct disk_file **out, uint64_t *size_out);
	int (*remove)(struct disk *d, const char *name);
	int (*sync_names)(struct disk *d);
	int (*read)(struct disk_file *f, uint64_t offset, void *out, size_t n);
	int (*write)(struct disk_file *f, uint64_t offset, const void *p, size_t n);
	int (*sync)(struct disk_file *f);
	void (*close)(struct disk_file *f);
};

struct disk {
	const struct disk_ops *ops;
};

struct disk_file {
	struct disk *disk;
};

/* Calls on_name for every file. */
static inline int disk_list(struct disk *d, void (*on_name)(void *arg, const char *name), void *arg)
{
	return d->ops->list(d, on_name, arg);
}

/* Opens, made empty where absent; *out is the caller's until disk_close. */
static inline int disk_open(
	struct disk *d, const char *name, struct disk_file **out, uint64_t *size_out)
{
	return d->ops->open(d, name, out, size_out);
}

static inline int disk_remove(struct disk *d, const char *name)
{
	return d->ops->remove(d, name);
}

static inline int disk_sync_names(struct disk *d)
{
	return d->ops->sync_names(d);
}

/* Exactly n bytes; -EIO when the file is shorter. */
static inline int disk_read(struct disk_file *f, uint64_t offset, void *out, size_t n)
{
	return f->disk->ops->read(f, offset, out, n);
}

static inline int disk_write(struct disk_file *f, uint64_t offset, const void *p, size_t n)
{
	return f->disk->ops->write(f, offset, p, n);
}

static inline int disk_sync(struct disk_file *f)
{
	return f->disk->ops->sync(f);
}

static inline void disk_close(struct disk_file *f)
{
	f->disk->ops->close(f);
}

static inline void disk_close_own(struct disk_file **f)
{
	if (*f) {
		disk_close(*f);
	}
}

/* The real one (disk_real.c). Makes the directory where absent and locks it: -EWOULDBLOCK when
 * another process has it. */
int disk_real_new(const char *directory, struct disk **out);
void disk_real_free(struct disk *d);

#endif
