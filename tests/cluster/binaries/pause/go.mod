module fairway.dev/tests/cluster/binaries/pause

go 1.26
