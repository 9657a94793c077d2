// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Clearing} from "peerage/Clearing.sol";
import {IAccounts} from "peerage/interfaces/IAccounts.sol";
import {LedgerView} from "peerage/interfaces/IClearing.sol";
import {IDirectory} from "peerage/interfaces/IDirectory.sol";
import {Docket, DocketState} from "peerage/interfaces/IDockets.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {Ledger, Record} from "peerage/libraries/Settlement.sol";
import {AgreementState} from "peerage/types/Types.sol";
import {Ledgers} from "./Ledgers.sol";

/// @notice A version to come: it takes over what its predecessor's views show.
contract NextClearing is Clearing {
    constructor(IDirectory directory) Clearing(directory) {}

    function adopt(Clearing predecessor, uint32 members, bytes32[] calldata ids) external {
        total = predecessor.handOver();
        reserved = predecessor.reserved();
        for (uint32 member = 1; member <= members; ++member) {
            balanceOf[member] = predecessor.balanceOf(member);
        }
        for (uint256 i = 0; i < ids.length; ++i) {
            _adopt(predecessor, ids[i]);
        }
    }

    function _adopt(Clearing predecessor, bytes32 id) private {
        LedgerView memory shown = predecessor.ledgerOf(id);
        _ledger[id] = Ledger({
            escrow: uint80(shown.escrow),
            deferred: uint80(shown.deferred),
            collateral: uint64(shown.collateral),
            graceUntil: shown.graceUntil,
            paid: uint80(shown.paid),
            bytesDown: shown.bytesDown,
            missBits: shown.missBits,
            nextEpoch: shown.nextEpoch
        });
        _record[id] = Record(uint80(shown.compensated), uint80(shown.burned), shown.misses, shown.dockets);
        Docket[] memory dockets = predecessor.docketsOf(id);
        for (uint32 number = 0; number < dockets.length; ++number) {
            _docket[id][number] = dockets[number];
        }
    }
}

/// @notice Clearing is replaced while an agreement with money in it goes on.
contract SuccessionTest is Ledgers {
    Clearing internal old;
    NextClearing internal next;

    /// @dev Paid epochs, four misses, and the heavy penalty of the last in a docket.
    function setUp() public override {
        super.setUp();
        pass(3, true);
        pass(4, false);
        closeAndSettle();
        assertEq(clearing.docketsOf(id).length, 1);
        old = clearing;
        next = new NextClearing(directory);
        vm.prank(operator);
        directory.set(Kinds.CLEARING, address(next));
    }

    function adopt() internal {
        bytes32[] memory ids = new bytes32[](1);
        ids[0] = id;
        next.adopt(old, 3, ids);
        clearing = next;
    }

    function test_theSupersededOneRefusesWrites() public {
        bytes memory refusal = abi.encodeWithSelector(IPeered.Superseded.selector, Kinds.CLEARING, address(next));
        vm.expectRevert(refusal);
        old.settle(id);
        vm.expectRevert(refusal);
        old.depositFor(CLIENT, 0);
        vm.expectRevert(refusal);
        old.conclude(id, 0);
        vm.prank(account(CLIENT));
        vm.expectRevert(refusal);
        old.withdraw(1, account(CLIENT));
    }

    function test_attack_onlyTheSuccessorGetsTheCredits() public {
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IAccounts.NotTheSuccessor.selector, operator));
        old.handOver();
        adopt();
        vm.prank(address(next));
        assertEq(old.handOver(), 0, "once only");
    }

    function test_theCurrentOneHandsNothingToItself() public {
        adopt();
        vm.prank(address(next));
        vm.expectRevert(abi.encodeWithSelector(IAccounts.NotTheSuccessor.selector, address(next)));
        next.handOver();
    }

    function test_everythingIsTakenOver() public {
        bytes32 before = keccak256(abi.encode(old.ledgerOf(id), old.docketsOf(id), old.balanceOf(PROVIDER)));
        uint256 held = old.total();
        adopt();
        assertEq(keccak256(abi.encode(next.ledgerOf(id), next.docketsOf(id), next.balanceOf(PROVIDER))), before);
        assertEq(next.total(), held);
        assertEq(old.total(), 0);
        assertEq(credit.balanceOf(address(old)), 0);
        assertConserved();
    }

    function test_theAgreementGoesOn() public {
        adopt();
        uint256 paid = ledger().paid;
        pass(5, true);
        closeAndSettle();
        assertEq(ledger().paid, paid + 5 * PAY);
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ACTIVE));
        vm.prank(node(PROVIDER));
        clearing.appeal(id, 0, "");
        vm.prank(operator);
        clearing.decide(id, 0, true);
        assertEq(uint8(clearing.docketOf(id, 0).state), uint8(DocketState.CANCELLED));
        leave(CLIENT, 0);
        assertConserved();
    }
}
