// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {stdJson} from "forge-std/StdJson.sol";
import {Bits} from "peerage/libraries/Bits.sol";
import {RuleSet} from "peerage/libraries/RuleSet.sol";
import {Facts, Settlement, Walk} from "peerage/libraries/Settlement.sol";
import {AgreementState, Params} from "peerage/types/Types.sol";

/// @notice The arithmetic of a settlement against the auditor's, on random cases: tests/contracts/make_settlement_vectors.py
/// makes the same cases and settles them one epoch after the other.
contract SettlementTest is Test {
    using stdJson for string;

    uint256 private constant WORD = 7;

    function test_settlesAsTheAuditorDoes() public {
        bytes32[] memory digests = vm.readFile("tests/vectors/settlement.json").readBytes32Array(".digests");
        assertGe(digests.length, 3000);
        uint256[6] memory reached;
        uint256 stuck;
        for (uint256 number = 0; number < digests.length; ++number) {
            Walk memory walk = this.settled(number);
            assertEq(digestOf(walk), digests[number], vm.toString(number));
            ++reached[uint256(walk.state)];
            if (walk.stuck) ++stuck;
        }
        assertGt(reached[uint256(AgreementState.ACTIVE)] - stuck, 100);
        assertGt(reached[uint256(AgreementState.LAPSED)], 50);
        assertGt(reached[uint256(AgreementState.FAILED)], 50);
        assertGt(stuck, 50);
    }

    /// @dev External, so that each case has its memory to itself.
    function settled(uint256 number) external returns (Walk memory walk) {
        uint256[] memory r = new uint256[](36);
        for (uint256 i = 0; i < 36; ++i) {
            r[i] = uint256(keccak256(abi.encode(number, i)));
        }
        start(walk, r);
        Facts memory facts = factsOf(r);
        uint256 first = r[30] % 256;
        uint256 end = first + r[31] % (257 - first);
        uint256 middle = first + r[32] % (end - first + 1);
        walk.ledger.nextEpoch = uint32(WORD * 256 + first);
        Settlement.judge(facts, Bits.range(first, end));
        Settlement.settle(walk, facts, first, middle, uint64(1 + r[33] % 2 ** 22));
        if (walk.stuck || walk.state != AgreementState.ACTIVE) return walk;
        Settlement.settle(walk, facts, middle, end, uint64(1 + r[34] % 2 ** 22));
    }

    function start(Walk memory walk, uint256[] memory r) private pure {
        walk.bill.pricePerGibEpoch = uint64((r[0] % 2 ** 36) >> (r[35] % 32));
        walk.bill.egressPricePerGib = uint64(r[1] % 2 ** 36);
        walk.bill.collateral = uint64(r[2] % 2 ** 40);
        walk.payPercent = r[3] % 101;
        Params memory params;
        params.windowEpochs = uint8(1 + r[4] % 64);
        params.failAt = uint8(1 + r[5] % params.windowEpochs);
        params.repairEpochs = uint16(1 + r[6] % 64);
        walk.rules = RuleSet.pack(params);
        walk.ledger.escrow = uint80(r[7] % 2 ** 40);
        walk.clientBalance = r[8] % 2 ** 40;
        walk.ledger.deferred = uint80(r[9] % 2 ** 30);
        walk.ledger.collateral = uint64(r[10] % (uint256(walk.bill.collateral) + 1));
        walk.ledger.missBits = uint64(r[11] & (r[12] >> 3));
        walk.record.compensated = uint80(r[13] % 2 ** 34);
        walk.graceOver = r[14] & 1 == 1;
        walk.state = AgreementState.ACTIVE;
    }

    function factsOf(uint256[] memory r) private pure returns (Facts memory facts) {
        facts.proven = r[15] | r[16] | r[25];
        facts.impaired = r[17] & r[18] & r[19];
        facts.valid = r[20] | r[21] | r[22];
        facts.followed = r[23] | r[24];
        facts.maintenance = r[26] & r[27];
        facts.short = r[28] & r[29];
    }

    function digestOf(Walk memory walk) private pure returns (bytes32) {
        uint256[10] memory money = [
            uint256(walk.ledger.nextEpoch),
            uint256(walk.state),
            walk.stuck ? 1 : 0,
            walk.ledger.escrow,
            walk.ledger.deferred,
            walk.ledger.collateral,
            walk.ledger.missBits,
            walk.record.compensated,
            walk.record.burned,
            walk.clientBalance
        ];
        uint256[9] memory moved = [
            walk.paid,
            walk.funded,
            walk.burned,
            walk.contestedToClient,
            walk.contestedBurned,
            walk.proven,
            walk.missed,
            walk.voided,
            walk.excused
        ];
        return keccak256(abi.encode(money, moved));
    }
}
