// Package docs carries the documents that the server itself shows.
package docs

import _ "embed"

// MigratingToV2 is the guide that v1's answers point to, in Markdown.
//
//go:embed migrating-to-v2.md
var MigratingToV2 []byte
