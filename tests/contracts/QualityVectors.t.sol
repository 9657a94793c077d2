// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {stdJson} from "forge-std/StdJson.sol";
import {Figures, Probes} from "peerage/libraries/Probes.sol";
import {QualityClause} from "peerage/libraries/QualityClause.sol";

/// @notice Draws, medians, disputes and clauses against the auditor's, on random cases: make_quality_vectors.py makes the
/// same cases. And by statistics and naive copies.
contract QualityVectorsTest is Test {
    using stdJson for string;

    function test_drawsAndRecordsAsTheAuditorDoes() public {
        bytes32[] memory digests = vm.readFile("tests/vectors/quality.json").readBytes32Array(".digests");
        assertGe(digests.length, 3000);
        uint256[4] memory reached;
        for (uint256 number = 0; number < digests.length; ++number) {
            uint256[10] memory values = this.outcome(number);
            assertEq(keccak256(abi.encode(values)), digests[number], vm.toString(number));
            reached[0] += values[0];
            if (values[6] != 0) ++reached[1];
            reached[2] += values[7];
            reached[3] += values[9];
        }
        for (uint256 i = 0; i < reached.length; ++i) {
            assertGt(reached[i], 200);
            assertLt(reached[i], digests.length - 200);
        }
    }

    /// @dev External, so that each case has its memory to itself.
    function outcome(uint256 number) external view returns (uint256[10] memory values) {
        uint256[] memory r = new uint256[](16);
        for (uint256 i = 0; i < 16; ++i) {
            r[i] = uint256(keccak256(abi.encode(number, i)));
        }
        bool drawn = Probes.drawn(bytes32(r[0]), bytes20(uint160(r[1])), uint32(r[2]), r[3] % 64, r[4] % 17);
        values[0] = drawn ? 1 : 0;
        uint256[] memory reports = new uint256[](r[4] % 9);
        for (uint256 i = 0; i < reports.length; ++i) {
            reports[i] = this.pack(figuresOf(r[5 + i]));
        }
        uint256 record = reports.length < 3 ? 0 : Probes.median(reports);
        values[1] = Probes.down(record);
        values[2] = Probes.up(record);
        values[3] = Probes.latency(record);
        values[4] = Probes.availability(record);
        values[5] = Probes.reportsIn(record);
        values[6] = record == 0 ? 0 : Probes.outliers(reports, record);
        bytes32 asked = clauseOf(r[15]);
        if (!QualityClause.isValid(asked)) return values;
        values[7] = 1;
        values[8] = QualityClause.percent(asked);
        values[9] = QualityClause.isShort(asked, record) ? 1 : 0;
    }

    function pack(Figures calldata figures) external pure returns (uint256) {
        return Probes.pack(figures);
    }

    /// @dev Each member is drawn for each provider as often as for any other, whatever its number and the seed.
    function test_draw_isUniform() public pure {
        uint256 providers = 12;
        uint256 rounds = 2000;
        for (uint256 committee = 1; committee <= 7; committee += 3) {
            uint256[12] memory hits;
            uint256 both;
            for (uint256 i = 0; i < rounds; ++i) {
                bytes20 link = bytes20(keccak256(abi.encode("link", i)));
                bytes32 seed = keccak256(abi.encode("seed", i / 16));
                bool before;
                for (uint256 p = 0; p < providers; ++p) {
                    bool drawn = Probes.drawn(seed, link, uint32(p + 1), providers, committee);
                    if (!drawn) continue;
                    ++hits[p];
                    if (p == 1 && before) ++both;
                    before = p == 0;
                }
            }
            // n c/12 hits each, of variance n c/12 (1 - c/12): chi-square over twelve cells, 1 in 100,000 beyond 45.
            uint256 expected = rounds * committee / providers;
            uint256 chi;
            for (uint256 p = 0; p < providers; ++p) {
                uint256 off = hits[p] > expected ? hits[p] - expected : expected - hits[p];
                chi += 1000 * off * off * providers / (expected * (providers - committee));
            }
            assertLt(chi, 45_000);
            // To be drawn for one provider says nothing about another one: within five deviations.
            uint256 pairs = rounds * committee * committee / providers ** 2;
            uint256 apart = both > pairs ? both - pairs : pairs - both;
            assertLt(apart * apart, 25 * (pairs + 1));
        }
    }

    function test_draw_nobodyWithoutActiveMembers() public pure {
        assertFalse(Probes.drawn(0, 0, 1, 0, 16));
        assertTrue(Probes.drawn(0, 0, 1, 3, 5));
    }

    /// forge-config: default.fuzz.runs = 512
    function testFuzz_median_hasHalfOnEachSide(uint256[] memory given) public pure {
        uint256 length = given.length > 32 ? 32 : given.length;
        vm.assume(length != 0);
        uint256[] memory reports = new uint256[](length);
        for (uint256 i = 0; i < length; ++i) {
            reports[i] = given[i] & Probes.FIGURES;
        }
        uint256 record = Probes.median(reports);
        assertEq(Probes.reportsIn(record), length);
        uint8[4] memory shifts = [0, 32, 64, 96];
        for (uint256 f = 0; f < 4; ++f) {
            uint256 mask = f == 3 ? type(uint8).max : type(uint32).max;
            uint256 middle = (record >> shifts[f]) & mask;
            uint256 below;
            uint256 above;
            for (uint256 i = 0; i < length; ++i) {
                uint256 value = (reports[i] >> shifts[f]) & mask;
                if (value < middle) ++below;
                if (value > middle) ++above;
            }
            assertLe(below, (length - 1) / 2);
            assertLe(above, length / 2);
            assertLt(below + above, length);
        }
    }

    function testFuzz_records_shareAWordAndLeaveTheOther(uint256 word, uint32 epoch, uint256 record) public pure {
        record &= (1 << 112) - 1;
        uint256 changed = Probes.withRecord(word, epoch, record);
        assertEq(Probes.recordIn(changed, epoch), record);
        assertEq(Probes.recordIn(changed, epoch ^ 1), Probes.recordIn(word, epoch ^ 1));
    }

    function test_clause_refusesWhatItDoesNotKnow() public pure {
        bytes32 known = clause(100, 50, 200, 30);
        assertTrue(QualityClause.isValid(known));
        assertTrue(QualityClause.isValid(0));
        assertFalse(QualityClause.isValid(bytes32(uint256(known) | 1)));
        assertFalse(QualityClause.isValid(bytes32(uint256(known) | 1 << 143)));
        assertFalse(QualityClause.isValid(bytes32(uint256(known) + (1 << 248))));
        assertFalse(QualityClause.isValid(clause(100, 50, 200, 0)));
        assertFalse(QualityClause.isValid(clause(100, 50, 200, 101)));
        assertTrue(QualityClause.isValid(clause(0, 0, 0, 100)));
    }

    function test_clause_eachFigureByItself() public view {
        bytes32 asked = clause(100, 50, 200, 30);
        assertFalse(short(asked, Figures(100, 50, 200, 0)));
        assertTrue(short(asked, Figures(99, 50, 200, 100)));
        assertTrue(short(asked, Figures(100, 49, 200, 100)));
        assertTrue(short(asked, Figures(100, 50, 201, 100)));
        assertFalse(short(clause(100, 50, 0, 30), Figures(100, 50, type(uint32).max, 100)));
        assertFalse(QualityClause.isShort(asked, 0));
    }

    function short(bytes32 asked, Figures memory figures) private view returns (bool) {
        return QualityClause.isShort(asked, this.pack(figures) | 3 << 104);
    }

    function clause(uint256 down, uint256 up, uint256 latency, uint256 percent) private pure returns (bytes32) {
        return bytes32(1 << 248 | down << 216 | up << 184 | latency << 152 | percent << 144);
    }

    function figuresOf(uint256 r) private pure returns (Figures memory) {
        return Figures(
            uint32((r % 2 ** 32) >> ((r >> 32) % 32)),
            uint32(((r >> 40) % 2 ** 32) >> ((r >> 72) % 32)),
            uint32((r >> 80) % 200),
            uint8((r >> 120) % 101)
        );
    }

    function clauseOf(uint256 r) private pure returns (bytes32) {
        uint256 version = (r >> 100) % 16 != 0 ? 1 : 0;
        uint256 rest = (r >> 112) % 16 == 0 ? 1 : 0;
        uint256 up = ((r >> 32) % 2 ** 32) >> 24;
        uint256 word = uint256(clause((r % 2 ** 32) >> 20, up, (r >> 64) % 200, (r >> 104) % 110));
        return bytes32((word << 8 >> 8) | version << 248 | rest);
    }
}
