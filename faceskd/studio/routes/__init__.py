"""The routes: `pages` for people, all others under /api/v1 for programs and the pages' scripts."""
