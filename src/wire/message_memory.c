#include "wire/message_memory.h"

#include "base/compiler.h"

#include <errno.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

/* A block. The bytes follow. */
struct message_memory {
	struct message_memory *older;
	alignas(max_align_t) char bytes[];
};

enum {
	ALIGNMENT = alignof(max_align_t),
	/* Below the 128 KiB from which malloc asks the kernel each time. */
	BLOCK_MAX = 96 * 1024,
	/* A hello with three fields takes about 1.5 KiB, a watch about five times its length. */
	BLOCK_MIN = 2048,
	BLOCK_PER_BYTE = 6,
};

/* A parse under way, on its thread's stack. */
struct parse {
	struct message_memory *newest;
	char *at;
	size_t left;
	size_t block_size;
	jmp_buf refused;
};

/* owner: the thread */
static _Thread_local struct parse *parse_current;

/* const after start */
static json_malloc_t malloc_below;
static json_free_t free_below;

/* A new block with room for 'size' at least, or out of here. */
static void parse_extend(struct parse *p, size_t size)
{
	size_t room = size > p->block_size ? size : p->block_size;
	struct message_memory *block = malloc_below(sizeof(*block) + room);

	if (block == NULL)
		longjmp(p->refused, 1);
	block->older = p->newest;
	p->newest = block;
	p->at = block->bytes;
	p->left = room;
}

static void *hook_malloc(size_t size)
{
	struct parse *p = parse_current;
	void *ret;

	if (p == NULL)
		return malloc_below(size);
	if (size > PTRDIFF_MAX)
		longjmp(p->refused, 1);
	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (size > p->left)
		parse_extend(p, size);
	ret = p->at;
	p->at += size;
	p->left -= size;
	return ret;
}

static void hook_free(void *ptr)
{
	if (parse_current == NULL)
		free_below(ptr);
}

void message_memory_install(void)
{
	json_malloc_t malloc_now;
	json_free_t free_now;

	json_get_alloc_funcs(&malloc_now, &free_now);
	if (malloc_now == hook_malloc)
		return;
	malloc_below = malloc_now;
	free_below = free_now;
	json_set_alloc_funcs(hook_malloc, hook_free);
}

static CONSTRUCTOR void install_before_main(void)
{
	message_memory_install();
}

/* Apart, so that no local of anybody's lies between setjmp and longjmp. */
static int load_guarded(
	struct parse *p, const char *text, size_t len, json_t **ret_root, json_error_t *error)
{
	if (setjmp(p->refused) != 0) {
		parse_current = NULL;
		return -ENOMEM;
	}
	parse_current = p;
	*ret_root = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, error);
	parse_current = NULL;
	return *ret_root == NULL ? -EINVAL : 0;
}

int message_memory_load(const char *text, size_t len, json_t **ret_root,
	struct message_memory **ret_memory, json_error_t *error)
{
	struct parse p = {.block_size = BLOCK_MAX};
	json_t *root = NULL;
	int err;

	if (len < (BLOCK_MAX - BLOCK_MIN) / BLOCK_PER_BYTE)
		p.block_size = BLOCK_MIN + len * BLOCK_PER_BYTE;
	err = load_guarded(&p, text, len, &root, error);
	if (err != 0) {
		message_memory_free(p.newest);
		return err;
	}
	*ret_root = root;
	*ret_memory = p.newest;
	return 0;
}

void message_memory_free(struct message_memory *memory)
{
	while (memory != NULL) {
		struct message_memory *older = memory->older;

		free_below(memory);
		memory = older;
	}
}
