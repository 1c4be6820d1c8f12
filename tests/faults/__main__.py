"""Run exactly the tests that the fault table names: ``python -m tests.faults``; more arguments go to pytest."""

import sys

import pytest

from comfytui.fault_table import fault_table

sys.exit(pytest.main([*(row.test for row in fault_table()), *sys.argv[1:]]))
