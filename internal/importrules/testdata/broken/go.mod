module github.com/fluentpro/fluentpro

go 1.26.0
