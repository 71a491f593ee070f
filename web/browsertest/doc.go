// Package browsertest drives the page in a real Chromium against the real
// binary: the tests are the package's only content. They are left out, with
// the reason, where no Chromium is installed, unless FLUENTPRO_TEST_REQUIRE=1
// makes that a failure.
package browsertest
