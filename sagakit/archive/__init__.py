"""Copies closed ranges of topics to files with checksums, and reads them as a part of the log.

| module | what it does |
|---|---|
| `container` | records as an Avro container file, and back |
| `manifest` | which files a partition has, and whether they and the live log are one log; pure |
| `folder` | a folder here or in an object store, in which a file is whole or absent |
| `log_archive` | the files of all partitions: extends, reads and verifies them |
| `restore` | fills empty topics from it |

Imports `kafka` and `messages`. Whatever reads spans of the log may read them from here.
"""
